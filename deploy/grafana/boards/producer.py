"""producer-api: what comes in, how fast it is answered, what is refused and why."""

from parts import (
    GREEN, RED, YELLOW, board, cores, of_service, quantile, query, rate, replica_of, runbook, series, steps, timeline, words,
)

REPLICA = 'instance=~"$replica"'
PUBLISH = f'route="POST /v1/events", {REPLICA}'
OUTCOMES = {"stored": GREEN, "rejected": "#8AB8FF", "throttled": "orange", "failed": RED, "unknown": "purple"}
LATENCY = steps(GREEN, (0.25, YELLOW), (1, RED))

BOARD = board(
    "producer",
    "Orderflow: producer",
    "What comes in over HTTP, how fast it is answered, what is refused and why.",
    [replica_of('build_info{service="producer-api"}')],
    [
        series(
            "Events by outcome",
            "Stored: answered 201. Rejected: the client broke a rule. Throttled: hard cap of retention. Failed: not stored, our "
            "fault. Unknown: Redis did not answer in time.",
            "eps",
            query(rate(f"producer_events_total{{{REPLICA}}}", "outcome"), "{{outcome}}"),
            stack=True,
            colors=OUTCOMES,
            links=[runbook("orderflowproducererrors")],
        ),
        series(
            "Stored by type",
            "Events that were stored, by their type.",
            "eps",
            query(rate(f'producer_events_total{{outcome="stored", {REPLICA}}}', "type"), "{{type}}"),
        ),
        series(
            "Requests by status",
            "Answers a second on every route.",
            "reqps",
            query(rate(f"producer_request_duration_seconds_count{{{REPLICA}}}", "status"), "{{status}}"),
            stack=True,
            colors={"2xx": GREEN, "4xx": "#8AB8FF", "5xx": RED},
        ),
        series(
            "Time to answer POST /v1/events",
            "From a request's head to the answer's, Redis included. A gap: there were no requests.",
            "s",
            query(quantile(0.5, "producer_request_duration_seconds", PUBLISH), "50 %"),
            query(quantile(0.95, "producer_request_duration_seconds", PUBLISH), "95 %"),
            query(quantile(0.99, "producer_request_duration_seconds", PUBLISH), "99 %"),
            limits=LATENCY,
        ),
        series(
            "Time that Redis took for a pipeline",
            "One pipeline of XADD, of as many events as had queued while the last one was under way.",
            "s",
            query(quantile(0.5, "producer_append_duration_seconds", REPLICA), "50 %"),
            query(quantile(0.99, "producer_append_duration_seconds", REPLICA), "99 %"),
            links=[runbook("orderflowredisunreachable")],
        ),
        series(
            "Events in a pipeline",
            "Grows with the load: the more waits, the more is written together.",
            "short",
            query(
                rate(f"producer_append_batch_size_sum{{{REPLICA}}}") + " / " + rate(f"producer_append_batch_size_count{{{REPLICA}}}"),
                "mean",
            ),
            query(quantile(0.99, "producer_append_batch_size", REPLICA), "99 %"),
        ),
        series(
            "Answered with 5xx",
            "Share of requests that failed through no fault of the client. A gap: there were none.",
            "percentunit",
            query(
                rate(f'producer_request_duration_seconds_count{{status="5xx", {REPLICA}}}', "instance")
                + " / "
                + rate(f"producer_request_duration_seconds_count{{{REPLICA}}}", "instance"),
                "{{instance}}",
            ),
            limits=steps(GREEN, (0.01, YELLOW), (0.05, RED)),
            links=[runbook("orderflowproducererrors")],
        ),
        series(
            "Events waiting to be written",
            "The queue of each replica. A full one refuses requests with 503.",
            "short",
            query(f"producer_queue_events{{{REPLICA}}}", "{{instance}}"),
        ),
        series(
            "Failed Redis operations",
            "By kind, of the producers alone.",
            "ops",
            query(rate(f"producer_redis_errors_total{{{REPLICA}}}", "kind"), "{{kind}}"),
            links=[runbook("orderflowredisunreachable")],
        ),
        timeline(
            "Hard caps",
            "While the stream is at a hard cap of retention, producers answer 429 until consumers have caught up.",
            words(_0=("open", GREEN), _1=("429", RED)),
            query(f"max by (cap) (producer_admission_closed{{{REPLICA}}})", "{{cap}}"),
            links=[runbook("orderflowhardcapnear")],
        ),
        series(
            "Processor",
            "Cores that each replica uses, over two minutes.",
            "none",
            query(
                of_service(cores(REPLICA), "producer-api"), "{{instance}}"
            ),
            height=6,
        ),
        series(
            "Memory",
            "Resident memory of each replica.",
            "bytes",
            query(of_service(f"process_resident_memory_bytes{{{REPLICA}}}", "producer-api"), "{{instance}}"),
            height=6,
        ),
    ],
)
