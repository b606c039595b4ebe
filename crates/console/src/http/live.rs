//! `/api/live`, `/api/state`: the state of the pipeline, as it changes or once.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt, stream};
use service_kit::Problem;
use tokio::time::sleep;

use crate::{
    app::App,
    live::{Listener, Snapshot, state},
    metrics::Feed,
    problems,
};

/// From one comment to the next while there is nothing to say, so that both ends notice a broken connection.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How soon whoever listens is cut off after a logout.
const LOGIN_EVERY: Duration = Duration::from_secs(1);

/// The state about once a second: server-sent events named `state`, each with the answer of `/api/state`.
#[utoipa::path(get, path = "/api/live", tag = "live", responses(
    (status = 200, description = "events named `state`", content_type = "text/event-stream", body = String),
    (status = 503, description = "too many listen already"),
))]
pub(super) async fn live(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let permit = Arc::clone(&app.live_subscribers).try_acquire_owned();
    let permit = permit.map_err(|_| problems::too_many_subscribers())?;
    let counted = app.metrics.subscribed(Feed::Live);
    let states = stream::unfold((app.live.listen(), true), next_state);
    let events = states.map(move |snapshot| {
        _ = (&permit, &counted);
        Ok(Event::default().event("state").data(&snapshot.json))
    });
    Ok(events_while_allowed(events, app, headers))
}

async fn next_state((mut listener, is_first): (Listener, bool)) -> Option<(Arc<Snapshot>, (Listener, bool))> {
    let snapshot = if is_first { listener.fresh().await } else { listener.next().await };
    Some((snapshot?, (listener, false)))
}

/// Sends events until the client hangs up, its login ends or the service stops. To listen is to use the login.
pub(super) fn events_while_allowed(
    events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
    app: App,
    headers: HeaderMap,
) -> Response {
    let events = events.take_until(async move {
        let stopped = app.shutdown.cancelled();
        let logged_out = async {
            while app.access.visitor(&headers).is_some() {
                sleep(LOGIN_EVERY).await;
            }
        };
        tokio::select! {
            () = stopped => {}
            () = logged_out => {}
        }
    });
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    // A proxy that gathers an answer before it passes it on would keep it for ever.
    ([(header::HeaderName::from_static("x-accel-buffering"), "no")], sse).into_response()
}

/// The state once.
#[utoipa::path(get, path = "/api/state", tag = "live", responses((status = 200, body = state::State)))]
pub(super) async fn state(State(app): State<App>) -> Result<Response, Problem> {
    let snapshot = app.live.now().await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], snapshot.json.clone()).into_response())
}
