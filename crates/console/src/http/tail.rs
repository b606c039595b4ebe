//! `/api/tail`: entries as they are added.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{Response, sse::Event},
};
use futures_util::{StreamExt, stream};
use serde_json::json;
use service_kit::Problem;
use stream_core::{Heard, News};

use super::{extract::Params, live::events_while_allowed};
use crate::{
    app::App,
    metrics::{Feed, Metrics},
    problems,
    tail::{Filter, Told},
};

/// Entries as they are added: server-sent events `entry`; `skipped` where this connection was too slow; `away` and `back`
/// when Redis is. Nothing that is added after the answer has begun is missed without being told.
#[utoipa::path(get, path = "/api/tail", tag = "live", params(Filter), responses(
    (status = 200, description = "events named `entry`, `skipped`, `away`, `back`", content_type = "text/event-stream",
     body = String),
    (status = 503, description = "too many listen already"),
))]
pub(super) async fn tail(
    State(app): State<App>,
    headers: HeaderMap,
    Params(filter): Params<Filter>,
) -> Result<Response, Problem> {
    let permit = Arc::clone(&app.tail_subscribers).try_acquire_owned();
    let permit = permit.map_err(|_| problems::too_many_subscribers())?;
    let counted = app.metrics.subscribed(Feed::Tail);
    let listener = app.tails.listen().await;
    let first = listener.away().map(|reason| Heard::News(News::Away(reason)));
    let heard = stream::unfold(listener, async |mut listener| Some((listener.next().await?, listener)));
    let metrics = app.metrics.clone();
    let events = stream::iter(first).chain(heard).filter_map(move |heard| {
        _ = (&permit, &counted);
        let event = event(heard, &filter, &metrics);
        async move { event.map(Ok::<_, Infallible>) }
    });
    Ok(events_while_allowed(events, app, headers))
}

fn event(heard: Heard<Told>, filter: &Filter, metrics: &Metrics) -> Option<Event> {
    Some(match heard {
        Heard::News(News::Entry(_, told)) => {
            if !filter.fits(&told.entry) {
                return None;
            }
            Event::default().event("entry").id(&told.entry.id).data(&told.json)
        }
        Heard::News(News::Away(reason)) => {
            Event::default().event("away").data(json!({ "reason": &*reason }).to_string())
        }
        Heard::News(News::Back) => Event::default().event("back").data("{}"),
        Heard::Skipped(count) => {
            metrics.skipped(count);
            Event::default().event("skipped").data(json!({ "count": count }).to_string())
        }
    })
}
