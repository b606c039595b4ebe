"""Redis, as the services see it. No exporter is needed; one of Redis's own adds memory, clients and replication."""

from parts import (
    BAD_FROM_ONE, GREEN, RED, YELLOW, board, of_service, quantile, query, rate, runbook, series, stat, steps, timeline, words,
)

ERRORS = of_service("sum by (instance) (rate(redis_errors_total[$__rate_interval]))", ".*")

BOARD = board(
    "redis",
    "Orderflow: Redis",
    "Redis as the services see it: whether it answers, how fast, what it refuses. Memory, clients and replication are an "
    "exporter's to show; none is assumed here.",
    [],
    [
        stat(
            "Redis answers",
            "Whether Redis answers every one of our processes.",
            "none",
            query("min(redis_up)", "answers"),
            limits=steps(RED, (1, GREEN)),
            mappings=words(_0=("not all", RED), _1=("yes", GREEN)),
            width=6,
            links=[runbook("orderflowredisunreachable")],
        ),
        stat(
            "Redis errors",
            "Failed Redis operations a second, of all services.",
            "ops",
            query("sum(rate(redis_errors_total[$__rate_interval]))", "failed"),
            limits=steps(GREEN, (0.01, YELLOW), (1, RED)),
            width=6,
            links=[runbook("orderflowredisunreachable")],
        ),
        stat(
            "Eviction policy",
            "Any other than noeviction could delete the stream whole.",
            "none",
            query("max(redis_eviction_policy_unsafe)", "policy"),
            limits=steps(GREEN, (1, RED)),
            mappings=words(_0=("noeviction", GREEN), _1=("may evict", RED)),
            width=6,
            links=[runbook("orderflowredismayevict")],
        ),
        stat(
            "Failed steps of the reaper",
            "Steps of its rounds, taking and renewing the active role among them, that failed in the last hour and were repeated.",
            "locale",
            query("round(sum(increase(reaper_errors_total[1h])))", "failed"),
            limits=steps(GREEN, (1, YELLOW), (60, RED)),
            width=6,
            links=[runbook("orderflowredisunreachable")],
        ),
        series(
            "Failed operations by kind",
            "What Redis refused or did not answer, of all services.",
            "ops",
            query(rate("redis_errors_total", "kind"), "{{kind}}"),
            links=[runbook("orderflowredisunreachable")],
        ),
        series(
            "Failed operations by service",
            "One service alone: its connection or its password. All of them: the server.",
            "ops",
            query(f"sum by (service) ({ERRORS})", "{{service}}"),
            links=[runbook("orderflowredisunreachable")],
        ),
        timeline(
            "Does Redis answer?",
            "Each process, as its /readyz has it.",
            words(_0=("no", RED), _1=("yes", GREEN)),
            query(f"min by (service) ({of_service('redis_up', '.*')})", "{{service}}"),
            height=8,
            links=[runbook("orderflowredisunreachable")],
        ),
        timeline(
            "Active reaper",
            "The lease of the active role is in Redis: it changes hands when its holder ends, stalls or is cut off.",
            words(_0=("stands by", "#8AB8FF"), _1=("active", GREEN)),
            query("reaper_leader", "{{instance}}"),
            height=8,
            links=[runbook("orderflownoactivereaper")],
        ),
        series(
            "Appending a pipeline",
            "The producers' writes: one pipeline of XADD.",
            "s",
            query(quantile(0.5, "producer_append_duration_seconds"), "50 %"),
            query(quantile(0.99, "producer_append_duration_seconds"), "99 %"),
        ),
        series(
            "A round of the reaper",
            "Sweep, retire, trim, observe: some dozens of commands and scripts.",
            "s",
            query(quantile(0.5, "reaper_sweep_duration_seconds"), "50 %"),
            query(quantile(0.99, "reaper_sweep_duration_seconds"), "99 %"),
        ),
        series(
            "A look of the console",
            "The console's reads: one look at the stream, its groups and consumers. A gap: nobody looked at the console.",
            "s",
            query(quantile(0.5, "console_look_duration_seconds"), "50 %"),
            query(quantile(0.99, "console_look_duration_seconds"), "99 %"),
            width=12,
        ),
        series(
            "Open files",
            "Sockets to Redis and to clients, and files, by process.",
            "short",
            query(of_service("process_open_fds", ".*"), "{{service}} {{instance}}"),
            width=12,
        ),
    ],
)
