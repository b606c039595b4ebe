"""The workers: what becomes of deliveries, how long handlers take, what waits."""

from parts import (
    FAILED_DELIVERIES, GREEN, RED, YELLOW, board, console, cores, group_of, of_service, quantile, query, rate, replica_of, runbook,
    series, steps,
)

WORKER = 'group=~"$group", instance=~"$replica"'
SERVICES = "notifications-worker|analytics-worker"
OUTCOMES = {
    "acked": GREEN, "retried": YELLOW, "dead_lettered": RED, "ownership_lost": "purple", "released": "#8AB8FF",
    "abandoned": "orange",
}

BOARD = board(
    "workers",
    "Orderflow: workers",
    "What becomes of deliveries, how long handlers take, what waits.",
    [group_of("worker_in_flight"), replica_of('worker_in_flight{group=~"$group"}')],
    [
        series(
            "Deliveries by outcome",
            "Acked: done. Retried: failed, and waits for another attempt. Ownership lost: it took so long that a peer claimed it. "
            "Released: given back by a drain. Abandoned: a drain ran out of time.",
            "eps",
            query(rate(f"worker_deliveries_total{{{WORKER}}}", "outcome"), "{{outcome}}"),
            stack=True,
            colors=OUTCOMES,
        ),
        series(
            "Acked by replica",
            "How the work is spread.",
            "eps",
            query(rate(f'worker_deliveries_total{{outcome="acked", {WORKER}}}', "instance"), "{{instance}}"),
        ),
        series(
            "Deliveries that failed",
            "Share of deliveries that were retried, dead-lettered, lost to a peer or abandoned. A gap: there were no deliveries.",
            "percentunit",
            query(
                rate(f"worker_deliveries_total{{{FAILED_DELIVERIES}, {WORKER}}}", "group")
                + " / "
                + rate(f"worker_deliveries_total{{{WORKER}}}", "group"),
                "{{group}}",
            ),
            limits=steps(GREEN, (0.01, YELLOW), (0.05, RED)),
            links=[runbook("orderflowworkererrors")],
        ),
        series(
            "Time in the handler",
            "One entry of notifications; a whole batch of the analytics projection.",
            "s",
            query(quantile(0.5, "worker_handler_duration_seconds", WORKER, "group"), "{{group}} 50 %"),
            query(quantile(0.99, "worker_handler_duration_seconds", WORKER, "group"), "{{group}} 99 %"),
        ),
        series(
            "From append to ack",
            "How long entries took from their append to their ack, waiting included. The objective is 99 of 100 within a second.",
            "s",
            query(quantile(0.5, "worker_end_to_end_seconds", WORKER, "group"), "{{group}} 50 %"),
            query(quantile(0.99, "worker_end_to_end_seconds", WORKER, "group"), "{{group}} 99 %"),
            limits=steps(GREEN, (1, RED)),
            links=[runbook("orderflowendtoendburnfast")],
        ),
        series(
            "Messages",
            "What notifications-worker sent, by channel. Failed ones are tried again, refused ones are dead letters.",
            "eps",
            query(rate("notifications_sent_total", "channel, outcome"), "{{channel}} {{outcome}}"),
            query("sum(rate(notifications_other_total[$__rate_interval]))", "no message for the type"),
        ),
        series(
            "In flight",
            "Entries that wait for a handler, are being handled or are being settled, by replica.",
            "short",
            query(f"sum by (group, instance) (worker_in_flight{{{WORKER}}})", "{{group}} {{instance}}"),
            links=[console("workers", "Workers")],
        ),
        series(
            "Waiting for a retry",
            "Entries whose handling failed and that wait for their next attempt, by replica.",
            "short",
            query(f"sum by (group, instance) (worker_parked{{{WORKER}}})", "{{group}} {{instance}}"),
            links=[runbook("orderflowpendingold")],
        ),
        series(
            "Claimed a second",
            "Entries that a worker took over because their consumer had let them lie: after a crash, or where "
            "claim_min_idle is too short for what the handlers do.",
            "eps",
            query(rate(f"worker_claims_total{{{WORKER}}}", "group"), "{{group}}"),
            links=[runbook("orderflowconsumerstuck")],
        ),
        series(
            "Failed Redis operations",
            "By kind, of the workers alone.",
            "ops",
            query(rate(f"worker_redis_errors_total{{{WORKER}}}", "kind"), "{{kind}}"),
            links=[runbook("orderflowredisunreachable")],
        ),
        series(
            "Processor",
            "Cores that each replica uses, over two minutes.",
            "none",
            query(
                of_service(cores('instance=~"$replica"'), SERVICES),
                "{{service}} {{instance}}",
            ),
        ),
        series(
            "Memory",
            "Resident memory of each replica.",
            "bytes",
            query(of_service('process_resident_memory_bytes{instance=~"$replica"}', SERVICES), "{{service}} {{instance}}"),
        ),
    ],
)
