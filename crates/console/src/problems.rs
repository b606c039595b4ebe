//! The problems that callers can meet, each with its stable type; those of unknown paths and methods are service-kit's.

use std::time::Duration;

use axum::http::StatusCode;
use service_kit::{Problem, admin_client::AdminError, query::quoted};
use stream_core::{Error, ErrorKind};

/// Where the condition usually passes by itself.
const SOON: Duration = Duration::from_secs(1);

/// Redis did not do what it was asked to.
pub(crate) fn redis(error: &Error) -> Problem {
    let unavailable = |kind, title| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, title).detail(error.to_string()).retry_after(SOON)
    };
    match error.kind() {
        ErrorKind::NoGroup => Problem::new(StatusCode::NOT_FOUND, "/problems/unknown-group", "No such group")
            .detail("the stream, or its group, is not there"),
        ErrorKind::Connection
        | ErrorKind::Timeout
        | ErrorKind::Loading
        | ErrorKind::MaxClients
        | ErrorKind::Tls => unavailable("/problems/redis-unavailable", "Redis is unavailable"),
        _ => unavailable("/problems/redis-refused", "Redis refused the operation"),
    }
}

/// There is no group of this name.
pub(crate) fn unknown_group(group: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "/problems/unknown-group", "No such group")
        .detail(format!("the stream has no group {}", quoted(group)))
}

/// The group has no such consumer.
pub(crate) fn unknown_consumer(group: &str, consumer: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "/problems/unknown-consumer", "No such consumer").detail(format!(
        "the group {} has no consumer {}",
        quoted(group),
        quoted(consumer)
    ))
}

/// The consumer is there, and no process runs it.
pub(crate) fn not_alive(consumer: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, "/problems/consumer-not-alive", "The consumer is not alive")
        .detail(format!("no process holds the name {}; it can be removed, or added again", quoted(consumer)))
}

/// The name is held.
pub(crate) fn consumer_exists(consumer: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, "/problems/consumer-exists", "The consumer already exists")
        .detail(format!("the consumer {} already exists", quoted(consumer)))
}

/// There is nobody who could take a consumer's entries over.
pub(crate) fn no_peer(consumer: &str, pending: u64) -> Problem {
    Problem::new(StatusCode::CONFLICT, "/problems/no-peer", "Nobody could take the entries over")
        .with("pending", pending)
        .detail(format!(
            "{pending} entries are pending for {}, and its group has no other live consumer to take them",
            quoted(consumer)
        ))
}

/// Whoever was to take entries over is not another live consumer of the group.
pub(crate) fn not_a_peer(peer: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, "/problems/not-a-peer", "Not a live peer").detail(format!(
        "{} cannot take entries over: it is not another live consumer of the group",
        quoted(peer)
    ))
}

/// No worker of the group runs, as far as anybody knows.
pub(crate) fn no_process(group: &str) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "/problems/no-process",
        "No worker of the group can be reached",
    )
    .detail(format!("no running process of the group {} answers; start a worker", quoted(group)))
}

/// There is no such process of the group.
pub(crate) fn unknown_process(group: &str, process: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "/problems/unknown-process", "No such process").detail(format!(
        "the group {} has no process {}",
        quoted(group),
        quoted(process)
    ))
}

/// A worker was not asked, did not answer, or refused; what it refused with is passed on.
pub(crate) fn worker(error: AdminError) -> Problem {
    match error {
        AdminError::Refused { problem, .. } if problem.status() == StatusCode::UNAUTHORIZED => Problem::new(
            StatusCode::BAD_GATEWAY,
            "/problems/worker-unauthorized",
            "The worker does not take this console's token",
        )
        .detail("its admin.token is another one than this console's; or, where this console has none, its keys do not include \
             console.api_key"),
        AdminError::Refused { problem, .. } => *problem,
        AdminError::NoToken { .. } => no_admin_token(),
        error => {
            let never_asked = !matches!(
                error,
                AdminError::Unreachable { never_asked: false, .. } | AdminError::Unreadable { .. }
            );
            Problem::new(
                StatusCode::BAD_GATEWAY,
                "/problems/worker-unreachable",
                "The worker cannot be reached",
            )
            .with("done", if never_asked { "no" } else { "unknown" })
            .detail(error.to_string())
        }
    }
}

/// The answer was not there in time.
pub(crate) fn timed_out() -> Problem {
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "/problems/timed-out", "No outcome in time")
        .detail("no outcome within console.request_deadline; what has begun may go on")
}

/// As many listen as may.
pub(crate) fn too_many_subscribers() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "/problems/too-many-subscribers", "Too many listen already")
        .detail("console.subscribers_max connections are open; close one")
        .retry_after(SOON)
}

/// A member of a body is out of its range.
pub(crate) fn invalid_body(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-body", "Invalid request body")
        .detail(detail)
}

/// A parameter of a query or path is not usable.
pub(crate) fn invalid_query(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "/problems/invalid-query", "Invalid query").detail(detail)
}

/// What was given cannot be a consumer's name.
pub(crate) fn invalid_name(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-name", "Not a consumer's name")
        .detail(detail)
}

/// A consumer that was taken for dead is not, or not any more.
pub(crate) fn came_back(consumer: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, "/problems/consumer-busy", "The consumer is busy")
        .detail(format!("a process has taken the name {}; try again", quoted(consumer)))
        .retry_after(SOON)
}

/// Processes run, and none of them answers.
pub(crate) fn nobody_answers(reasons: &[String]) -> Problem {
    let why = reasons.first().map_or("", String::as_str);
    Problem::new(StatusCode::BAD_GATEWAY, "/problems/worker-unreachable", "The worker cannot be reached")
        .with("done", "no")
        .detail(why)
}

/// Nobody would obey.
pub(crate) fn no_admin_token() -> Problem {
    let title = "The console has no token for the workers";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "/problems/no-admin-token", title).detail(
        "set admin.token (ORDERFLOW__ADMIN__TOKEN or ORDERFLOW__ADMIN__TOKEN__FILE) here and at the workers, or \
         console.api_key to one of their keys with the scope admin",
    )
}

/// Redis does not answer, as was seen just now.
pub(crate) fn redis_away(reason: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "/problems/redis-unavailable", "Redis is unavailable")
        .detail(reason)
        .retry_after(SOON)
}
