//! The routes under `/admin` on the ops port: on every service the log's filter, on a worker also the levers of
//! [`WorkerControl`], behind a token.
//!
//! | route | body | answer |
//! | --- | --- | --- |
//! | `GET /admin/log` | | 200 `{"filter","configured","reverts_in_seconds"}` |
//! | `PUT /admin/log` | `{"filter":…,"for"?}` | the same; what is logged from now on, for a while if `for` says so (`"10m"`) |
//! | `DELETE /admin/log` | | the same; what is configured is logged again |
//! | `GET /admin/worker` | | the worker and its consumers |
//! | `POST /admin/worker/pause`, `…/resume` | | 204; reads and claims of all its consumers stop, or go on |
//! | `POST /admin/worker/claiming` | `{"auto":bool}` | 204; idle entries are claimed by themselves, or not |
//! | `POST /admin/consumers` | `{"name":…}` | 201; the consumer reads |
//! | `DELETE /admin/consumers/{name}?to=peer` | | 200 `{"handed_over_to","handed_over","deleted"}` |
//! | `POST /admin/consumers/{name}/pause`, `…/resume` | | 204 |
//! | `POST /admin/consumers/{name}/claim` | `{"min_idle_ms"?,"from"?}` | 200 `{"claimed":[ids],"processed":n,"deleted":[ids],…}` |
//! | `POST /admin/consumers/{name}/handover` | `{"to":…}` | 200 `{"moved","lost":[ids],"kept"}` |
//! | `POST /admin/consumers/{name}/drop-next` | `{"count":n}` | 200 `{"queued":n}` |
//!
//! Every request needs `Authorization: Bearer` with `admin.token`, or an API key with the scope `admin`; where there is
//! no such token and no key is asked for, all answer 403.

mod auth;
mod log;
mod problems;
mod routes;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{delete, get, post},
};
use stream_core::WorkerControl;

use crate::{auth::Authenticator, config::Admin, telemetry::LogFilter};
use auth::{Auth, authorize};

/// The largest body that a lever takes, in bytes.
const BODY_MAX: usize = 16 * 1024;

/// The routes of the log, for every service.
pub(crate) fn log_router(filter: LogFilter, settings: &Admin, keys: &Authenticator) -> Router {
    let auth = Auth::new(&settings.token, keys);
    Router::new()
        .route("/admin/log", get(log::show).put(log::set).delete(log::reset))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .route_layer(middleware::from_fn_with_state(auth, authorize))
        .with_state(filter)
}

/// The routes, for any worker.
pub fn router(control: WorkerControl, settings: &Admin, keys: &Authenticator) -> Router {
    let auth = Auth::new(&settings.token, keys);
    let consumer = Router::new()
        .route("/", delete(routes::remove))
        .route("/pause", post(routes::pause))
        .route("/resume", post(routes::resume))
        .route("/claim", post(routes::claim))
        .route("/handover", post(routes::handover))
        .route("/drop-next", post(routes::drop_next));
    Router::new()
        .route("/admin/worker", get(routes::status))
        .route("/admin/worker/pause", post(routes::pause_all))
        .route("/admin/worker/resume", post(routes::resume_all))
        .route("/admin/worker/claiming", post(routes::claiming))
        .route("/admin/consumers", post(routes::add))
        .nest("/admin/consumers/{name}", consumer)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .route_layer(middleware::from_fn_with_state(auth, authorize))
        .with_state(control)
}
