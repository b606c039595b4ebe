"""Dead letters and retention: what was set aside, what goes, what is threatened, what is lost."""

from parts import (
    BAD_FROM_ONE, GREEN, NOT_THREATENED, RED, STREAM, YELLOW, board, console, group_of, query, rate, runbook, series, stat,
    steps, timeline, until_trim, words,
)

IN_STREAM = 'stream="$stream"'
GROUP = f'{IN_STREAM}, group=~"$group"'
REASONS = {"max_deliveries": RED, "payload_lost": "purple"}

BOARD = board(
    "dead-letters",
    "Orderflow: dead letters and retention",
    "What was set aside, what retention removes, what it threatens, and what was lost.",
    [STREAM, group_of('stream_group_lag_known{stream="$stream"}')],
    [
        stat(
            "Dead letters",
            "Entries that the group could not handle and that wait for somebody to look at them.",
            "locale",
            query(f"max by (group) (stream_dead_letters{{{GROUP}}})", "{{group}}"),
            width=8,
            limits=steps(GREEN, (1, YELLOW)),
            links=[runbook("orderflowdeadlettersarriving"), console("dead-letters")],
        ),
        stat(
            "Retention threatens",
            "Time until retention may remove an entry that the group has not read or not acked.",
            "dtdurations",
            query(until_trim(GROUP), "{{group}}"),
            width=8,
            limits=steps(RED, (3600, YELLOW), (86400, GREEN)),
            mappings=NOT_THREATENED,
            links=[runbook("orderflowretentionabouttolose")],
        ),
        stat(
            "Lost, ever",
            "Entries that retention removed before the group was handed them. It should be 0.",
            "locale",
            query(f"max by (group) (stream_group_entries_lost_total{{{GROUP}}})", "{{group}}"),
            width=8,
            limits=BAD_FROM_ONE,
            links=[runbook("orderflowentrieslost")],
        ),
        series(
            "Dead letters over time",
            "How many there are. Redriving and purging make them fewer.",
            "short",
            query(f"max by (group) (stream_dead_letters{{{GROUP}}})", "{{group}}"),
            links=[runbook("orderflowdeadlettersarriving"), console("dead-letters")],
        ),
        series(
            "Dead letters a minute",
            "What workers set aside (poison, refused for good, failed too often), and what the reaper did (failed too often "
            "without an owner, payload lost).",
            "short",
            query(
                "60 * " + rate('worker_deliveries_total{outcome="dead_lettered", group=~"$group"}', "group"), "by {{group}}"
            ),
            query(
                "60 * " + rate('reaper_dead_letters_total{group=~"$group"}', "group, reason"), "{{group}} by the reaper: {{reason}}"
            ),
            links=[runbook("orderflowdeadlettersarriving")],
        ),
        series(
            "Dead letters dropped in an hour",
            "Old ones that went because of dead_letters.max_entries or dead_letters.max_age.",
            "short",
            query(f"round(sum by (group) (increase(stream_dead_letters_dropped_total{{{GROUP}}}[1h])))", "{{group}}"),
            limits=BAD_FROM_ONE,
            links=[runbook("orderflowdeadlettersarriving")],
        ),
        series(
            "Length of the stream",
            "Entries in the stream. Under guarded retention it grows while a group is waited for.",
            "short",
            query(f"max(stream_length{{{IN_STREAM}}})", "entries"),
            links=[runbook("orderflowhardcapnear")],
        ),
        series(
            "Appended and trimmed a second",
            "In the long run what comes in goes out.",
            "eps",
            query(f"sum(rate(stream_entries_added_total{{{IN_STREAM}}}[$__rate_interval]))", "appended"),
            query("sum(rate(stream_entries_trimmed_total[$__rate_interval]))", "trimmed"),
        ),
        series(
            "Silence",
            "How long a group has left work undone without a sign of life. After retention.stale_group_after guarded retention "
            "waits no longer, unless the group is one of retention.groups.",
            "s",
            query(f"max by (group) (stream_group_silent_seconds{{{GROUP}}})", "{{group}}"),
            links=[runbook("orderflowgroupstale")],
        ),
        timeline(
            "Who holds retention",
            "The group that keeps retention from removing what is old enough.",
            words(_0=("no", GREEN), _1=("holds", YELLOW)),
            query(f"max by (group) (stream_group_holds_retention{{{GROUP}}})", "{{group}}"),
            links=[runbook("orderflowhardcapnear")],
        ),
        timeline(
            "Is a group stale?",
            "Warned of at half of retention.stale_group_after; a stale group is not waited for any more.",
            words(_0=("alive", GREEN), _1=("warned of", YELLOW), _2=("stale", RED)),
            query(
                f"max by (group) (stream_group_stale_warning{{{GROUP}}}) + max by (group) (stream_group_stale{{{GROUP}}})",
                "{{group}}",
            ),
            links=[runbook("orderflowgroupstale")],
        ),
        series(
            "Hard caps used",
            "At 100 % of a hard cap of retention producers answer 429 until consumers have caught up.",
            "percentunit",
            query("max by (cap) (producer_cap_used_ratio)", "{{cap}}"),
            height=6,
            limits=steps(GREEN, (0.8, YELLOW), (1, RED)),
            links=[runbook("orderflowhardcapnear")],
        ),
    ],
)
