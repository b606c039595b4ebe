//! What can be looked at: one handler each around [`crate::looking`].

use axum::{
    Json,
    body::{Body as Bytes, Bytes as Chunk},
    extract::{RawQuery, State},
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use reqwest::Method;
use service_kit::Problem;
use std::{convert::Infallible, time::Duration};

use super::extract::{Body, Params, Path};
use crate::{
    app::App,
    levers::bulk::{self, Choice, Deed, Line, Run},
    looking::{
        dead_letters::{self, Counts, LetterOrNot, Letters, LettersPage},
        entries::{self, Entries, EntriesPage, full_id},
        entry::{self, EntryPage},
        order::{self, OrderPage},
        pending::{self, Pending, PendingPage},
        server::{self, Server},
    },
};

/// From one line of progress to the next.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

type Answer<T> = Result<Json<T>, Problem>;

/// A page of what a group was handed and has not acked, the oldest first.
#[utoipa::path(get, path = "/api/groups/{group}/pending", tag = "looking",
    params(("group" = String, Path), Pending), responses(
    (status = 200, body = PendingPage),
    (status = 404, description = "no such group"),
))]
pub(super) async fn pending(
    State(app): State<App>,
    Path(group): Path<String>,
    Params(query): Params<Pending>,
) -> Answer<PendingPage> {
    Ok(Json(pending::page(&app, &group, &query).await?))
}

/// A page of the stream.
#[utoipa::path(get, path = "/api/entries", tag = "looking", params(Entries), responses(
    (status = 200, body = EntriesPage),
    (status = 400, description = "a parameter that cannot be used"),
))]
pub(super) async fn entries(State(app): State<App>, Params(query): Params<Entries>) -> Answer<EntriesPage> {
    Ok(Json(entries::page(&app, &query).await?))
}

/// One entry, and where each group stands with it.
#[utoipa::path(get, path = "/api/entries/{id}", tag = "looking", params(("id" = String, Path)), responses(
    (status = 200, body = EntryPage),
    (status = 400, description = "not an ID"),
))]
pub(super) async fn entry(State(app): State<App>, Path(id): Path<String>) -> Answer<EntryPage> {
    Ok(Json(entry::entry(&app, full_id(&id)?).await?))
}

/// One order: what analytics knows of it, and its entries.
#[utoipa::path(get, path = "/api/orders/{order_id}", tag = "looking", params(("order_id" = String, Path)), responses(
    (status = 200, body = OrderPage),
))]
pub(super) async fn order(State(app): State<App>, Path(order_id): Path<String>) -> Answer<OrderPage> {
    Ok(Json(order::order(&app, &order_id).await?))
}

/// How many dead letters each group has.
#[utoipa::path(get, path = "/api/dead-letters", tag = "dead letters", responses((status = 200, body = Counts)))]
pub(super) async fn dead_letter_counts(State(app): State<App>) -> Answer<Counts> {
    Ok(Json(dead_letters::counts(&app).await?))
}

/// A page of a group's dead letters.
#[utoipa::path(get, path = "/api/groups/{group}/dead-letters", tag = "dead letters",
    params(("group" = String, Path), Letters), responses(
    (status = 200, body = LettersPage),
    (status = 400, description = "a parameter that cannot be used"),
))]
pub(super) async fn dead_letters(
    State(app): State<App>,
    Path(group): Path<String>,
    Params(query): Params<Letters>,
) -> Answer<LettersPage> {
    Ok(Json(dead_letters::page(&app, &group, query).await?))
}

/// One dead letter by its own ID.
#[utoipa::path(get, path = "/api/groups/{group}/dead-letters/{letter_id}", tag = "dead letters",
    params(("group" = String, Path), ("letter_id" = String, Path)), responses(
    (status = 200, body = LetterOrNot),
    (status = 404, description = "no such dead letter"),
))]
pub(super) async fn dead_letter(
    State(app): State<App>,
    Path((group, letter_id)): Path<(String, String)>,
) -> Answer<LetterOrNot> {
    Ok(Json(dead_letters::letter(&app, &group, &letter_id).await?))
}

/// Sends dead letters back to their group: a line of progress at a time, the last one says how it ended.
#[utoipa::path(post, path = "/api/groups/{group}/dead-letters/redrive", tag = "dead letters",
    params(("group" = String, Path)), request_body = Choice, responses(
    (status = 200, description = "lines; hanging up stops it", content_type = "application/x-ndjson", body = Line),
    (status = 422, description = "neither IDs nor a filter, or both"),
))]
pub(super) async fn redrive(
    State(app): State<App>,
    Path(group): Path<String>,
    Body(choice): Body<Choice>,
) -> Result<Response, Problem> {
    Ok(lines(bulk::start(&app, &group, choice, Deed::Redrive)?))
}

/// Purges dead letters, for good: a line of progress at a time, the last one says how it ended.
#[utoipa::path(post, path = "/api/groups/{group}/dead-letters/purge", tag = "dead letters",
    params(("group" = String, Path)), request_body = Choice, responses(
    (status = 200, description = "lines; hanging up stops it", content_type = "application/x-ndjson", body = Line),
    (status = 422, description = "neither IDs nor a filter, or both"),
))]
pub(super) async fn purge(
    State(app): State<App>,
    Path(group): Path<String>,
    Body(choice): Body<Choice>,
) -> Result<Response, Problem> {
    Ok(lines(bulk::start(&app, &group, choice, Deed::Purge)?))
}

fn lines(run: Run) -> Response {
    let lines = stream::unfold(Some(run), async |run| {
        let mut run = run?;
        let line = run.next(PROGRESS_EVERY).await;
        // A struct of numbers and strings always serializes.
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        let goes_on = matches!(line, Line::Progress(_));
        Some((Ok::<_, Infallible>(Chunk::from(text)), goes_on.then_some(run)))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Bytes::from_stream(lines)).into_response()
}

/// Figures of all time or of a window: analytics-worker's answer.
#[utoipa::path(get, path = "/api/analytics/summary", tag = "analytics", params(
    ("window" = Option<String>, Query, description = "such as `1h`")), responses(
    (status = 200, description = "as analytics-worker answers", body = Object),
    (status = 502, description = "analytics-worker does not answer"),
))]
pub(super) async fn summary(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    analytics(&app, &["summary"], query).await
}

/// Figures step by step: analytics-worker's answer.
#[utoipa::path(get, path = "/api/analytics/timeseries", tag = "analytics", params(
    ("metric" = Option<String>, Query), ("from" = Option<String>, Query), ("to" = Option<String>, Query),
    ("step" = Option<String>, Query)), responses(
    (status = 200, description = "as analytics-worker answers", body = Object),
    (status = 502, description = "analytics-worker does not answer"),
))]
pub(super) async fn timeseries(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    analytics(&app, &["timeseries"], query).await
}

/// The customers with the highest revenue: analytics-worker's answer.
#[utoipa::path(get, path = "/api/analytics/customers/top", tag = "analytics", params(("n" = Option<u64>, Query)), responses(
    (status = 200, description = "as analytics-worker answers", body = Object),
    (status = 502, description = "analytics-worker does not answer"),
))]
pub(super) async fn top_customers(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    analytics(&app, &["customers", "top"], query).await
}

async fn analytics(app: &App, path: &[&str], query: Option<String>) -> Result<Response, Problem> {
    let path = [&["v1", "analytics"], path].concat();
    Ok(app.analytics.send(Method::GET, &path, query.as_deref(), None).await?.pass_on())
}

/// The server: version, capabilities, memory, persistence, retention and what holds it back.
#[utoipa::path(get, path = "/api/server", tag = "looking", responses(
    (status = 200, body = Server),
    (status = 503, description = "Redis is away"),
))]
pub(super) async fn server(State(app): State<App>) -> Answer<Server> {
    Ok(Json(server::server(&app).await?))
}
