//! The routes of the guide's demo, at the root, so that a script that was written for it runs unchanged: forms in, `{"error":…}`
//! where something is wrong, the same operations as the API's.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use service_kit::Problem;
use utoipa::ToSchema;

use super::{
    extract::Params,
    form::{Form, bad_request, number},
};
use crate::{
    app::App,
    guide::{self, DemoEntry, DemoState, Replay},
    levers::{
        consumers::{self, Claim, Removed},
        peer,
        produce::{self, COUNT_MAX, Produce, Production},
        reset::{self, Reset},
        trim::{self, Trim},
    },
    looking::entries::{self, Entries, Order},
};

/// Entries of a replay that does not say how many.
const REPLAY_DEFAULT: i64 = 20;

/// What is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DemoError {
    error: String,
}

/// The state of the demo.
#[utoipa::path(get, path = "/state", operation_id = "demo_state", tag = "guide", responses(
    (status = 200, body = DemoState), (status = 503, description = "Redis is away", body = DemoError),
))]
pub(super) async fn state(State(app): State<App>) -> Result<Json<DemoState>, Problem> {
    Ok(Json(guide::state(&app).await?))
}

/// Sends `count` made-up events (1 unless given; 1 to 500) of a `type` (random if empty).
#[utoipa::path(post, path = "/produce", operation_id = "demo_produce", tag = "guide",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, body = Production), (status = 500, description = "they could not be stored", body = DemoError),
))]
pub(super) async fn produce(State(app): State<App>, form: Form) -> Result<Json<Production>, Problem> {
    let count = form.number("count", 1)?.clamp(1, COUNT_MAX as i64) as u64;
    let event_type = Some(form.text("type").to_owned()).filter(|text| !text.is_empty());
    let produced = produce::produce(&app, &Produce { count, event_type }).await;
    let failed = |detail: String| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "/problems/not-stored", "Not stored").detail(detail)
    };
    match produced {
        Ok(Production { failed: Some(failures), produced, .. }) => {
            Err(failed(format!("{produced} events were stored, {failures} were not")))
        }
        Err(problem) if problem.status().is_server_error() => Err(failed(problem.message().to_owned())),
        Err(problem) if problem.status() == StatusCode::UNPROCESSABLE_ENTITY => {
            Err(bad_request(problem.message().to_owned()))
        }
        produced => produced.map(Json),
    }
}

/// A consumer that was added.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DemoAdded {
    group: String,
    name: String,
}

/// Adds the consumer `name` to `group`.
#[utoipa::path(post, path = "/add-worker", operation_id = "demo_add_worker", tag = "guide",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, body = DemoAdded), (status = 400, description = "a field is empty", body = DemoError),
    (status = 409, description = "it already exists", body = DemoError),
))]
pub(super) async fn add_worker(State(app): State<App>, form: Form) -> Result<Json<DemoAdded>, Problem> {
    let [group, name] = form.required(["group", "name"])?;
    let added = match consumers::check_name(name) {
        Ok(()) => consumers::add(&app, group, name, None).await,
        Err(problem) => Err(problem),
    };
    match added {
        Ok(added) => Ok(Json(DemoAdded { group: added.group, name: added.name })),
        Err(problem) if problem.status() == StatusCode::UNPROCESSABLE_ENTITY => {
            Err(bad_request(problem.message().to_owned()))
        }
        Err(problem) => Err(problem),
    }
}

/// What became of a consumer that was to be removed.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct DemoRemoved {
    removed: bool,
    /// `not-found`, `no-peer` or `handover-failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handed_over_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handed_over_count: Option<u64>,
}

/// Removes the consumer `name` of `group`, whose pending entries go to a peer; not the last one.
#[utoipa::path(post, path = "/remove-worker", operation_id = "demo_remove_worker", tag = "guide",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, description = "removed, or not found", body = DemoRemoved),
    (status = 400, description = "a field is empty", body = DemoError),
    (status = 409, description = "`no-peer` or `handover-failed`", body = DemoRemoved),
))]
pub(super) async fn remove_worker(State(app): State<App>, form: Form) -> Result<Response, Problem> {
    let [group, name] = form.required(["group", "name"])?;
    let refused = |reason, message: String| DemoRemoved {
        reason: Some(reason),
        message: Some(message),
        ..DemoRemoved::default()
    };
    let answer = |status: StatusCode, removed| Ok((status, Json(removed)).into_response());
    let peer = match peer(&app, group, name).await {
        Ok(Some(peer)) => peer,
        Ok(None) => {
            let message = format!("{name} is the last consumer of {group}; add another one first");
            return answer(StatusCode::CONFLICT, refused("no-peer", message));
        }
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => {
            return answer(StatusCode::OK, refused("not-found", problem.message().to_owned()));
        }
        Err(problem) => return Err(problem),
    };
    match consumers::remove(&app, group, name, Some(&peer)).await {
        Ok(Removed { handed_over, deleted: true, .. }) => answer(
            StatusCode::OK,
            DemoRemoved {
                removed: true,
                handed_over_to: Some(peer),
                handed_over_count: Some(handed_over),
                ..DemoRemoved::default()
            },
        ),
        Ok(Removed { handed_over, .. }) => {
            let message =
                format!("{handed_over} entries were handed over to {peer}; the others could not be");
            answer(StatusCode::CONFLICT, refused("handover-failed", message))
        }
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => {
            answer(StatusCode::OK, refused("not-found", problem.message().to_owned()))
        }
        Err(problem) if problem.kind() == "/problems/no-peer" => {
            answer(StatusCode::CONFLICT, refused("no-peer", problem.message().to_owned()))
        }
        Err(problem) => {
            answer(StatusCode::CONFLICT, refused("handover-failed", problem.message().to_owned()))
        }
    }
}

/// How many deliveries will be dropped.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DemoQueued {
    queued: u64,
}

/// Lets the consumer `name` of `group` drop its next `count` deliveries (1 unless given), as if it had crashed.
#[utoipa::path(post, path = "/crash", operation_id = "demo_crash", tag = "guide",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, body = DemoQueued), (status = 404, description = "no such consumer", body = DemoError),
    (status = 403, description = "fault injection is off", body = DemoError),
))]
pub(super) async fn crash(State(app): State<App>, form: Form) -> Result<Json<DemoQueued>, Problem> {
    let [group, name] = form.required(["group", "name"])?;
    let count = form.number("count", 1)?.clamp(1, 10_000) as u64;
    let queued = consumers::drop_next(&app, group, name, count).await.map_err(not_alive_is_not_found)?;
    Ok(Json(DemoQueued { queued }))
}

/// The demo knows only consumers that run.
fn not_alive_is_not_found(problem: Problem) -> Problem {
    if problem.kind() == "/problems/consumer-not-alive" {
        let detail = problem.message().to_owned();
        return Problem::new(StatusCode::NOT_FOUND, "/problems/unknown-consumer", "No such consumer")
            .detail(detail);
    }
    problem
}

/// What came of a claim.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DemoClaimed {
    claimed: usize,
    processed: u64,
    deleted: Vec<String>,
    min_idle_ms: u64,
}

/// Lets `consumer` of `group` claim idle entries, and handle them.
#[utoipa::path(post, path = "/autoclaim", operation_id = "demo_autoclaim", tag = "guide",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, body = DemoClaimed), (status = 400, description = "a field is empty", body = DemoError),
    (status = 404, description = "no such consumer", body = DemoError),
))]
pub(super) async fn autoclaim(State(app): State<App>, form: Form) -> Result<Json<DemoClaimed>, Problem> {
    let [group, consumer] = form.required(["group", "consumer"])?;
    let claimed = consumers::claim(&app, group, consumer, &Claim::default()).await;
    let claimed = claimed.map_err(not_alive_is_not_found)?;
    Ok(Json(DemoClaimed {
        claimed: claimed.claimed.len(),
        processed: claimed.processed,
        deleted: claimed.deleted,
        min_idle_ms: claimed.min_idle_ms,
    }))
}

/// Entries of a range.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DemoReplay {
    start: String,
    end: String,
    limit: i64,
    entries: Vec<DemoEntry>,
}

/// The entries of a range, without touching any group.
#[utoipa::path(get, path = "/replay", operation_id = "demo_replay", tag = "guide", params(Replay), responses(
    (status = 200, body = DemoReplay), (status = 400, description = "not a range", body = DemoError),
))]
pub(super) async fn replay(
    State(app): State<App>,
    Params(Replay { start, end, count }): Params<Replay>,
) -> Result<Json<DemoReplay>, Problem> {
    let given = |text: Option<String>, default: &str| {
        text.map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| default.to_owned())
    };
    // An unescaped + in a query string arrives as a space.
    let (start, end) = (given(start, "-"), given(end, "+"));
    let limit = number("count", count.as_deref().unwrap_or_default().trim(), REPLAY_DEFAULT)?.clamp(1, 500);
    let query = Entries {
        start: Some(start.clone()),
        end: Some(end.clone()),
        count: Some(limit as usize),
        order: Order::Asc,
    };
    let page = entries::page(&app, &query).await?;
    let entries = page.entries.iter().map(DemoEntry::from).collect();
    Ok(Json(DemoReplay { start, end, limit, entries }))
}

/// What a trim removed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DemoTrimmed {
    deleted: u64,
    maxlen: u64,
}

/// Trims to about `maxlen` entries (0 unless given): whole internal nodes only.
#[utoipa::path(post, path = "/trim", operation_id = "demo_trim", tag = "guide",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, body = DemoTrimmed), (status = 503, description = "Redis failed", body = DemoError),
))]
pub(super) async fn trim(State(app): State<App>, form: Form) -> Result<Json<DemoTrimmed>, Problem> {
    let maxlen = u64::try_from(form.number("maxlen", 0)?).unwrap_or(0);
    let trimmed = trim::trim(&app, &Trim { maxlen: Some(maxlen), min_id: None, exact: false }).await?;
    Ok(Json(DemoTrimmed { deleted: trimmed.deleted, maxlen }))
}

/// Wipes the demo, and seeds its consumers anew.
#[utoipa::path(post, path = "/reset", operation_id = "demo_reset", tag = "guide", responses(
    (status = 200, body = Reset), (status = 403, description = "this is not a demo", body = DemoError),
))]
pub(super) async fn reset(State(app): State<App>) -> Result<Json<Reset>, Problem> {
    Ok(Json(reset::reset(&app).await?))
}
