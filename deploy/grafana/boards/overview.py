"""Is it healthy? One screen, and where to look next."""

from parts import (
    BAD_FROM_ONE, FAILED_DELIVERIES, GREEN, NOT_THREATENED, RED, STREAM, UNKNOWN, YELLOW, board, console, lag, quantile, query, rate, runbook,
    series, stat, steps, until_trim, words,
)

IN_STREAM = 'stream="$stream"'
# As the alert rules have them.
LAG_AGE, PENDING_AGE = steps(GREEN, (10, YELLOW), (60, RED)), steps(GREEN, (60, YELLOW), (300, RED))

BOARD = board(
    "overview",
    "Orderflow: overview",
    "Is it healthy? Everything green: yes. What is not leads on to the other dashboards, the runbook and the console.",
    [STREAM],
    [
        stat(
            "Alerts",
            "Alerts of deploy/prometheus that fire now. The runbook says for each what it means and what to do.",
            "none",
            query('count(ALERTS{alertstate="firing", alertname=~"Orderflow.+"}) or vector(0)', "firing"),
            limits=BAD_FROM_ONE,
            links=[runbook("first-look")],
        ),
        stat(
            "Processes not answering",
            "Processes that Prometheus scrapes and that did not answer the last time.",
            "none",
            query("count(up == 0) or vector(0)", "not answering"),
            limits=BAD_FROM_ONE,
            links=[runbook("orderflowservicedown")],
        ),
        stat(
            "Active reaper",
            "Exactly one is active. Without one nothing is recovered from dead consumers and nothing is trimmed, and the figures "
            "of groups and retention are missing.",
            "none",
            query("sum(reaper_leader) or vector(0)", "active"),
            limits=steps(RED, (1, GREEN), (2, RED)),
            mappings=words(_0=("none", RED), _1=("one", GREEN)),
            links=[runbook("orderflownoactivereaper")],
        ),
        stat(
            "Redis answers",
            "Whether Redis answers every one of our processes.",
            "none",
            query("min(redis_up)", "answers"),
            limits=steps(RED, (1, GREEN)),
            mappings=words(_0=("not all", RED), _1=("yes", GREEN)),
            links=[runbook("orderflowredisunreachable")],
        ),
        stat(
            "Hard cap used",
            "How near the stream is to the nearer of the hard caps of retention. At 100 % producers answer 429 until consumers "
            "have caught up.",
            "percentunit",
            query("max(producer_cap_used_ratio)", "used"),
            limits=steps(GREEN, (0.8, YELLOW), (1, RED)),
            links=[runbook("orderflowhardcapnear")],
        ),
        stat(
            "Dead letters",
            "Entries that a group could not handle and that wait for somebody to look at them.",
            "locale",
            query(f"sum(stream_dead_letters{{{IN_STREAM}}})", "dead letters"),
            limits=steps(GREEN, (1, YELLOW)),
            links=[runbook("orderflowdeadlettersarriving"), console("dead-letters")],
        ),
        stat(
            "Lag",
            "Entries in the stream that the group has not been handed. Unknown is not 0: it could not be counted.",
            "locale",
            query(lag(IN_STREAM), "{{group}}"),
            width=6,
            limits=steps(GREEN, (1000, YELLOW), (10000, RED)),
            mappings=UNKNOWN,
            links=[runbook("orderflowlaggrowing")],
        ),
        stat(
            "Oldest entry not delivered",
            "Age of the oldest entry that the group has not been handed.",
            "s",
            query(f"max by (group) (stream_group_lag_seconds{{{IN_STREAM}}})", "{{group}}"),
            width=6,
            limits=LAG_AGE,
            links=[runbook("orderflowlagold")],
        ),
        stat(
            "Oldest entry not acked",
            "Age of the oldest entry that was delivered and not acked. Grows where a handler hangs, an entry is retried, or "
            "nobody claims what a dead consumer left.",
            "s",
            query(f"max by (group) (stream_group_oldest_pending_age_seconds{{{IN_STREAM}}})", "{{group}}"),
            width=6,
            limits=PENDING_AGE,
            links=[runbook("orderflowpendingold"), console("pending", "Pending entries")],
        ),
        stat(
            "Retention threatens",
            "Time until retention may remove an entry that the group has not read or not acked.",
            "dtdurations",
            query(until_trim(IN_STREAM), "{{group}}"),
            width=6,
            limits=steps(RED, (3600, YELLOW), (86400, GREEN)),
            mappings=NOT_THREATENED,
            links=[runbook("orderflowretentionabouttolose")],
        ),
        series(
            "Events a second",
            "What was appended to the stream, by whomever, and what each group has acked. Lines that part mean lag.",
            "eps",
            query(f"sum(rate(stream_entries_added_total{{{IN_STREAM}}}[$__rate_interval]))", "appended"),
            query(rate('worker_deliveries_total{outcome="acked"}', "group"), "acked by {{group}}"),
            links=[runbook("orderflowlaggrowing")],
        ),
        series(
            "From append to ack",
            "How long entries took from their append to their ack: half of them, and 99 of 100. The objective is 99 of 100 "
            "within a second. A gap: nothing was acked.",
            "s",
            query(quantile(0.5, "worker_end_to_end_seconds", by="group"), "{{group}} 50 %"),
            query(quantile(0.99, "worker_end_to_end_seconds", by="group"), "{{group}} 99 %"),
            limits=steps(GREEN, (1, RED)),
            links=[runbook("orderflowendtoendburnfast")],
        ),
        series(
            "Failures",
            "Share of requests that producers answered with 5xx, and of deliveries that were not acked. A gap: there were none.",
            "percentunit",
            query(
                rate('producer_request_duration_seconds_count{status="5xx"}')
                + " / "
                + rate("producer_request_duration_seconds_count"),
                "requests answered 5xx",
            ),
            query(
                rate(f"worker_deliveries_total{{{FAILED_DELIVERIES}}}", "group") + " / " + rate("worker_deliveries_total", "group"),
                "{{group}} not acked",
            ),
            limits=steps(GREEN, (0.05, RED)),
            links=[runbook("orderflowproducererrors")],
        ),
    ],
)
