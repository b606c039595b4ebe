//! The public HTTP interface: `/v1/events`.

mod body;
mod entry_json;
mod get_event;
mod idempotency_key;
mod list_events;
mod page_query;
mod prefer;
mod problems;
mod publish;
mod receipt;
mod structured;
mod timing;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use service_kit::problem::{method_not_allowed, not_found};

use crate::app::App;

/// Every route. All errors are problems, also of paths and methods that there are not.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/v1/events", post(publish::publish).get(list_events::list_events))
        .route("/v1/events/{id}", get(get_event::get_event))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(app.body_limit_bytes()))
        .layer(middleware::from_fn_with_state(app.clone(), timing::time))
        .with_state(app)
}
