//! `GET /v1/events/tail`: events as they are added, as server-sent events.

use std::convert::Infallible;

use axum::{
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderName, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use service_kit::Problem;
use tokio::time::timeout_at;

use super::{
    document::TailAnswers,
    problems,
    tail_query::{TailParams, TailQuery},
};
use crate::app::App;

/// Events as they are added
///
/// Server-sent events (WHATWG HTML, §9.2), as `EventSource` reads them, without end. An event of the stream has the default name,
/// `message`; its `id` is the entry's ID and its `data` the event as `GET /v1/events/{id}` gives it. Everything that is added after
/// the answer has begun is told, in order, once.
///
/// With `Last-Event-ID`, everything that was added after that event is told first, without a gap and without telling anything twice;
/// `0-0` is before the first. `EventSource` sends the header by itself when it connects again. The stream names a position at its
/// beginning, with every event and with heartbeats, so that a client also comes back to the right place if it got no event.
///
/// Events of other names concern the client itself:
///
/// - `gap`: events after `after` were removed by retention before they were told, or the stream has never given this ID (`reason`:
///   `trimmed` or `unknown-id`). `next` is the oldest event that is left, if any. The stream goes on there.
/// - `overrun`: the client read too slowly, and is dropped; the stream ends. Connect again with `last_event_id`.
///
/// A comment is sent every `producer.tail_heartbeat` without events, also while Redis is away; then the stream goes on where it was.
/// When the service stops, the stream ends; connect again.
#[utoipa::path(
    get, path = "/v1/events/tail", operation_id = "tailEvents", tag = "reading", responses(TailAnswers),
    params(TailParams, (
        "Last-Event-ID" = Option<String>, Header, description = "The last event that the client has",
        pattern = "^([0-9]{1,19}-[0-9]{1,19})?$", example = "1716998413541-0",
    )),
)]
pub(super) async fn tail(
    State(app): State<App>,
    headers: HeaderMap,
    pairs: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Response, Problem> {
    let deadline = app.deadline();
    let Query(pairs) = pairs?;
    let TailQuery { filter, after } = TailQuery::parse(&pairs, &headers)?;
    let Ok(place) = timeout_at(deadline, app.tails().subscribe(filter, after)).await else {
        return Err(problems::deadline());
    };
    let subscriber = place.ok_or_else(problems::too_many_subscribers)?;
    let frames = stream::unfold(subscriber, async |mut subscriber| {
        let frame = subscriber.next().await?;
        Some((Ok::<_, Infallible>(frame), subscriber))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // A proxy that gathers an answer before it passes it on would keep it for ever.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(frames)).into_response())
}
