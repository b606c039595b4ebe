//! The problems that clients can meet, each with its stable type; those of unknown paths and methods,
//! and of query strings, are service-kit's.

use std::time::Duration;

use axum::http::StatusCode;
use order_events::BodyError;
use serde_json::json;
use service_kit::{Problem, auth::OverLimit};
use stream_core::{Error, ErrorKind};

use crate::{
    admission::{Admission, Cap, Holder, Report},
    group_commit::{Cause, Failure, Stored},
};

/// Where the condition usually passes by itself.
const SOON: Duration = Duration::from_secs(1);
/// Where somebody has to act.
const LATER: Duration = Duration::from_secs(10);

/// The type of a body in a form that is not taken.
pub(super) const UNSUPPORTED_MEDIA_TYPE: &str = "/problems/unsupported-media-type";
/// The type of a body that is compressed in a way that is not taken.
pub(super) const UNSUPPORTED_ENCODING: &str = "/problems/unsupported-encoding";

/// An ID in the path that is none.
pub(super) fn invalid_id(text: &str) -> Problem {
    let shown: String = text.chars().take(64).collect();
    Problem::new(StatusCode::BAD_REQUEST, "/problems/invalid-id", "Invalid event ID").detail(format!(
        "{shown:?} is not an event ID; expected <milliseconds>-<sequence>, e.g. 1716998413541-0"
    ))
}

/// There is no such entry, or not any more.
pub(super) fn event_not_found(id: impl std::fmt::Display) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "/problems/event-not-found", "No such event")
        .detail(format!("the stream has no entry {id}; it may have been trimmed"))
}

/// A body that is refused as a whole: nothing of it was written.
pub(super) fn invalid_body(error: &BodyError) -> Problem {
    let (status, kind, title) = match error {
        BodyError::Malformed { .. } => {
            (StatusCode::BAD_REQUEST, "/problems/malformed-json", "Malformed JSON")
        }
        BodyError::EmptyBatch => (StatusCode::UNPROCESSABLE_ENTITY, "/problems/empty-batch", "Empty batch"),
        BodyError::BatchTooLarge { .. } => {
            (StatusCode::UNPROCESSABLE_ENTITY, "/problems/batch-too-large", "Too many events in a batch")
        }
        BodyError::Invalid(_) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-event", "Invalid event")
        }
        _ => (StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-body", "Invalid request body"),
    };
    let problem = Problem::new(status, kind, title).detail(error.to_string());
    match error {
        BodyError::Malformed { line, column, .. } => problem.with("line", *line).with("column", *column),
        BodyError::Invalid(errors) => problem.with("errors", json!(errors)),
        _ => problem,
    }
}

/// The body did not arrive within the deadline.
pub(super) fn body_timeout() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "/problems/request-timeout", "Request took too long")
        .detail("the body did not arrive in time; nothing was written")
}

/// The connection broke, or the client ended the body early.
pub(super) fn body_unreadable(reason: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "/problems/bad-request", "Bad request").detail(reason)
}

/// More bytes than a body may have.
pub(super) fn body_too_large(limit: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "/problems/body-too-large", "Request body too large")
        .detail(format!("the body is larger than {limit} bytes"))
        .with("limit_bytes", limit)
}

/// Events in no form that is taken.
pub(super) fn unsupported_media_type(detail: impl Into<String>) -> Problem {
    let title = "Unsupported media type";
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, UNSUPPORTED_MEDIA_TYPE, title).detail(detail)
}

/// Compressed in a way that is not taken.
pub(super) fn unsupported_encoding(detail: impl Into<String>) -> Problem {
    let title = "Unsupported content encoding";
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, UNSUPPORTED_ENCODING, title).detail(detail)
}

/// Not what its `Content-Encoding` says, or incomplete.
pub(super) fn corrupt_encoding(reason: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "/problems/corrupt-encoding", "Corrupt request body")
        .detail(format!("the body is not what its Content-Encoding says, or incomplete: {reason}"))
}

/// The client takes none of the forms that there are.
pub(super) fn not_acceptable(offers: &[&str]) -> Problem {
    Problem::new(StatusCode::NOT_ACCEPTABLE, "/problems/not-acceptable", "Not acceptable")
        .detail(format!("Accept leaves nothing to answer in; offered: {}", offers.join(", ")))
}

/// A line that is no JSON. The parser would call it line 1, and say so in its message.
pub(super) fn malformed_line(column: usize, message: &str) -> Problem {
    let message = message.split(" at line ").next().unwrap_or_default();
    Problem::new(StatusCode::BAD_REQUEST, "/problems/malformed-json", "Malformed JSON")
        .detail(format!("malformed JSON: {message} at column {column}"))
        .with("column", column)
}

/// More bytes than a line may have.
pub(super) fn line_too_long(limit: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "/problems/line-too-long", "Line too long")
        .detail(format!("the line is longer than {limit} bytes"))
        .with("limit_bytes", limit)
}

/// Nothing came for too long.
pub(super) fn silent() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "/problems/request-timeout", "Request took too long")
        .detail("nothing was sent for too long (http.body_timeout, producer.ndjson_idle_timeout)")
}

/// The service ends; what was not read can be sent to another replica.
pub(super) fn shutting_down() -> Problem {
    unavailable("/problems/shutting-down", "The service stops", SOON, "send it to another replica")
}

/// So many NDJSON requests are under way that this one would take too much memory.
pub(super) fn too_many_imports() -> Problem {
    let detail = "as many NDJSON requests as there may be are under way (producer.ndjson_requests_max)";
    unavailable("/problems/overloaded", "Too many requests at the same time", SOON, detail)
        .with("stored", "no")
}

/// A header field that is not what it may be. Nothing was written.
pub(super) fn invalid_header(name: &str, problem: &str, allowed: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "/problems/invalid-header", "Invalid header field")
        .detail(format!("{name} {problem}; allowed: {allowed}"))
        .with("header", name)
}

/// An event, or all events of a batch, could not be stored, or not as was asked: 429 at a hard cap, 409 for a key of another
/// event, 422 and 504 for a durability that there is not or not yet, else 503. But for 409 the events are fine and can be
/// sent again, whoever has to repair what.
pub(super) fn not_stored(failure: Failure, admission: &Admission) -> Problem {
    not_stored_at(failure, |cap| admission.report(cap))
}

/// The same, with what is known of the cap from `report`.
pub(super) fn not_stored_at(failure: Failure, report: impl FnOnce(Cap) -> Report) -> Problem {
    let problem = match failure.cause {
        Cause::Redis(kind) => redis(kind),
        Cause::Deadline => deadline(),
        Cause::AtCap(cap) => at_cap(cap, report(cap)),
        Cause::QueueFull => {
            unavailable("/problems/overloaded", "Too many events are waiting", SOON, "the queue is full")
        }
        Cause::ShuttingDown => shutting_down(),
        Cause::WriterLost => {
            unavailable("/problems/internal-error", "Internal error", SOON, "the writer was lost")
        }
        Cause::Conflict => conflict(),
        Cause::CannotConfirm(why) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "/problems/durability-unavailable",
            "Redis cannot confirm this durability",
        )
        .detail(format!("{why}; nothing was written")),
        Cause::NotConfirmed { .. } => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "/problems/durability-not-confirmed",
            "Stored, but not confirmed in time",
        )
        .detail(
            "the event is in the stream, but was not seen on the replicas or on the disk in time; sent again with \
             its key it is not stored twice",
        ),
    };
    let problem = problem.with("stored", failure.stored.as_str());
    match failure.entry {
        Some(id) => problem.with("id", id.to_string()),
        None => problem,
    }
}

/// The key belongs to another event. The problem's `id` is that one's.
fn conflict() -> Problem {
    let title = "The key was used for something else";
    Problem::new(StatusCode::CONFLICT, "/problems/idempotency-conflict", title).detail(
        "another body was sent under this Idempotency-Key or event id before; nothing was written for it. Use a \
         new key for a new event",
    )
}

/// The stream is at a hard cap: says which, and who keeps retention from making room.
fn at_cap(cap: Cap, report: Report) -> Problem {
    let (used, limit) = (report.used, report.limit);
    let (kind, title, reached) = match cap {
        Cap::Entries => (
            "/problems/entry-cap-reached",
            "The stream is at its entry cap",
            format!(
                "the stream holds {used} entries; from {limit} on (retention.hard_cap_entries) it takes no more"
            ),
        ),
        Cap::Memory => (
            "/problems/memory-cap-reached",
            "Redis is at the memory cap",
            format!(
                "Redis uses {used} bytes; from {limit} on (retention.hard_cap_memory_percent of maxmemory) the \
                 stream takes no more"
            ),
        ),
    };
    let why = match &report.holder {
        Some(Holder { alone: true, rebuilds: Some(group), .. }) => {
            format!("the rebuild of group {group:?} holds retention back: it has not read the oldest entries")
        }
        Some(Holder { alone: true, name, .. }) => {
            format!("group {name:?} holds retention back: it has not acked the oldest entries")
        }
        Some(Holder { name, .. }) => format!(
            "{name:?} is furthest behind, but entries younger than retention.age would stay all the same"
        ),
        None => {
            "no group is known to hold retention back; entries younger than retention.age stay".to_owned()
        }
    };
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, kind, title)
        .detail(format!("{reached}; {why}"))
        .with("cap", cap.label())
        .with("used", used)
        .with("limit", limit)
        .retry_after(LATER);
    match report.holder {
        Some(holder) => problem.with("held_by", holder.name),
        None => problem,
    }
}

/// More events than the caller's rate limit allows: nothing was written.
pub(super) fn over_limit(over: OverLimit) -> Problem {
    Problem::from(over).with("stored", Stored::No.as_str())
}

/// Entries could not be read.
pub(super) fn not_read(error: &Error) -> Problem {
    redis(error.kind())
}

/// The answer was not there in time.
pub(super) fn deadline() -> Problem {
    let (kind, title) = ("/problems/deadline-exceeded", "Redis did not answer in time");
    unavailable(kind, title, SOON, "the request's deadline passed")
}

/// As many listen to the tail as may.
pub(super) fn too_many_subscribers() -> Problem {
    let (kind, title) = ("/problems/too-many-subscribers", "Too many listen already");
    unavailable(kind, title, LATER, "producer.tail_subscribers_max connections are open; close one")
}

/// What `stored` means for the request as a whole.
pub(super) fn overall(failures: impl IntoIterator<Item = Failure>) -> Stored {
    let unknown = failures.into_iter().any(|failure| failure.stored == Stored::Unknown);
    if unknown { Stored::Unknown } else { Stored::No }
}

/// Redis did not answer, or refused.
pub(super) fn redis(kind: ErrorKind) -> Problem {
    let (away, refused) = ("/problems/redis-unavailable", "/problems/redis-refused");
    let (away_title, refused_title) = ("Redis is unavailable", "Redis refused the operation");
    match kind {
        ErrorKind::Connection => {
            unavailable(away, away_title, SOON, "there is no connection to Redis, or it broke")
        }
        ErrorKind::Timeout => unavailable(away, away_title, SOON, "Redis did not answer in time"),
        ErrorKind::Tls => unavailable(
            away,
            away_title,
            LATER,
            "no TLS connection to Redis can be made; the service's log has the reason",
        ),
        ErrorKind::Loading => unavailable(away, away_title, SOON, "Redis is starting or failing over"),
        ErrorKind::MaxClients => {
            unavailable(away, away_title, SOON, "Redis has no room for another connection")
        }
        ErrorKind::OutOfMemory => unavailable(refused, refused_title, LATER, "Redis is out of memory"),
        ErrorKind::ReadOnly => unavailable(refused, refused_title, SOON, "Redis takes no writes at present"),
        ErrorKind::Auth => {
            unavailable(refused, refused_title, LATER, "Redis does not accept this service's login")
        }
        ErrorKind::WrongType => unavailable(
            refused,
            refused_title,
            LATER,
            "the stream's key holds something that is not a stream",
        ),
        ErrorKind::Reply => {
            unavailable(refused, refused_title, SOON, "Redis gave an answer that is not understood")
        }
        _ => unavailable(
            refused,
            refused_title,
            LATER,
            "Redis answered with an error; the service's log has it",
        ),
    }
}

fn unavailable(kind: &'static str, title: &'static str, retry_after: Duration, detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, title).detail(detail).retry_after(retry_after)
}
