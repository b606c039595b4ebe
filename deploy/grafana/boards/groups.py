"""Groups and their consumers: who keeps up, who holds what, who is stuck."""

from parts import (
    GREEN, RED, STREAM, UNKNOWN, YELLOW, board, group_of, lag, query, rate, runbook, series, steps, table, timeline, words,
)

GROUP = 'stream="$stream", group=~"$group"'
LAG_AGE, PENDING_AGE = steps(GREEN, (10, YELLOW), (60, RED)), steps(GREEN, (60, YELLOW), (300, RED))


def _of_group(metric, function="max"):
    return f"{function} by (group) ({metric}{{{GROUP}}})"


BOARD = board(
    "groups",
    "Orderflow: groups and consumers",
    "Who keeps up, who holds what, who is stuck. Lag grows and consumers are busy: add consumers. Pending grows and lag is "
    "small: consumers crash or do not ack.",
    [STREAM, group_of('stream_group_lag_known{stream="$stream"}')],
    [
        table(
            "Groups",
            "How the groups stand now. A group's name leads to its pending entries in the console.",
            [
                ("Lag", lag(GROUP), "locale", steps(GREEN, (1000, YELLOW), (10000, RED)), UNKNOWN),
                ("Oldest not delivered", _of_group("stream_group_lag_seconds"), "s", LAG_AGE, ()),
                ("Pending", _of_group("stream_group_messages_pending"), "locale", steps("text"), ()),
                ("Oldest not acked", _of_group("stream_group_oldest_pending_age_seconds"), "s", PENDING_AGE, ()),
                ("Consumers", _of_group("stream_group_consumers"), "locale", steps(RED, (1, "text")), ()),
                ("Dead letters", _of_group("stream_dead_letters"), "locale", steps(GREEN, (1, YELLOW)), ()),
            ],
            key="group",
            links=[runbook("diagnosis")],
            key_links=[
                {
                    "title": "Pending entries in the console",
                    "url": "${console}/#/pending?group=${__data.fields.Group}",
                    "targetBlank": True,
                }
            ],
        ),
        series(
            "Lag",
            "Entries in the stream that the group has not been handed. A gap: it could not be counted, or no reaper is active.",
            "short",
            query(_of_group("stream_group_lag"), "{{group}}"),
            links=[runbook("orderflowlaggrowing")],
        ),
        timeline(
            "Is the lag known?",
            "Unknown: entries were removed, and too many lie before and behind the group's position to count them.",
            words(_0=("unknown", YELLOW), _1=("known", GREEN)),
            query(_of_group("stream_group_lag_known", "min"), "{{group}}"),
            height=8,
            links=[runbook("orderflowlagunknown")],
        ),
        series(
            "Oldest entry not delivered",
            "Age of the oldest entry that the group has not been handed.",
            "s",
            query(_of_group("stream_group_lag_seconds"), "{{group}}"),
            links=[runbook("orderflowlagold")],
        ),
        series(
            "Pending",
            "Entries delivered and not acked: in flight, waiting for a retry, or left by a consumer that is gone.",
            "short",
            query(_of_group("stream_group_messages_pending"), "{{group}}"),
            links=[runbook("orderflowpendingold")],
        ),
        series(
            "Oldest entry not acked",
            "Age of the oldest entry that was delivered and not acked.",
            "s",
            query(_of_group("stream_group_oldest_pending_age_seconds"), "{{group}}"),
            links=[runbook("orderflowpendingold")],
        ),
        series(
            "Acked a second",
            "What the group's workers settled by success.",
            "eps",
            query(rate('worker_deliveries_total{group=~"$group", outcome="acked"}', "group"), "{{group}}"),
        ),
        series(
            "Consumers",
            "Consumers that the group has, dead ones too until the reaper has deleted them.",
            "short",
            query(_of_group("stream_group_consumers"), "{{group}}"),
            links=[runbook("orderflowconsumerstuck")],
        ),
        series(
            "Pending by consumer",
            "Entries delivered to each consumer and not acked. One that stays high while the others fall is stuck or dead.",
            "short",
            query(f"max by (group, consumer) (stream_group_consumer_messages_pending{{{GROUP}}})", "{{group}} {{consumer}}"),
            links=[runbook("orderflowconsumerstuck")],
        ),
        series(
            "Idle by consumer",
            "Time since each consumer last tried to read. A consumer that waits for entries asks again every few seconds.",
            "s",
            query(f"max by (group, consumer) (stream_group_consumer_idle_seconds{{{GROUP}}})", "{{group}} {{consumer}}"),
            links=[runbook("orderflowconsumerstuck")],
        ),
        series(
            "Recovered a second",
            "Entries that workers claimed because their consumer had let them lie, and entries that the reaper moved from dead "
            "consumers to their peers.",
            "eps",
            query(rate('worker_claims_total{group=~"$group"}', "group"), "{{group}} claimed"),
            query("sum(rate(reaper_entries_moved_total[$__rate_interval]))", "moved by the reaper"),
            width=12,
        ),
        series(
            "Healed in an hour",
            "Groups that were gone and recreated, names that a consumer lost to a stall, dead consumers that were deleted.",
            "short",
            query('round(sum by (group) (increase(worker_group_restores_total{group=~"$group"}[1h])))', "{{group}} recreated"),
            query('round(sum by (group) (increase(worker_names_lost_total{group=~"$group"}[1h])))', "{{group}} names lost"),
            query("round(sum(increase(reaper_consumers_deleted_total[1h])))", "consumers deleted"),
            width=12,
        ),
    ],
)
