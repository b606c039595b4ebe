//! The public HTTP interface: `/v1/events`, and its description.

mod accept;
mod body;
mod cloudevents;
mod document;
mod encoding;
mod entry_json;
mod filter_query;
mod get_event;
mod idempotency_key;
mod list_events;
mod media_type;
mod ndjson;
mod page_query;
mod prefer;
mod problems;
mod publish;
mod receipt;
mod schemas;
mod structured;
mod tail;
mod tail_query;
mod timing;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use service_kit::{
    auth::{Authenticator, read_or_produce},
    openapi,
    problem::{method_not_allowed, not_found},
    request::RequestLayer,
};
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::document::Document;
pub(crate) use self::{entry_json::EntryJson, ndjson::Limits as NdjsonLimits};
use crate::app::App;

/// Every operation, with its description.
fn operations() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(publish::publish, list_events::list_events))
        .routes(routes!(get_event::get_event))
        .routes(routes!(tail::tail))
}

/// Every route. All errors are problems, also of paths and methods that there are not.
pub(crate) fn router(app: App, auth: &Authenticator) -> Router {
    let (operations, document) = operations().split_for_parts();
    let routes = operations.fallback(not_found).method_not_allowed_fallback(method_not_allowed);
    auth.protect(routes, read_or_produce)
        // The description of the interface is no secret.
        .merge(openapi::routes(&document::configured(document, app.types())))
        .layer(DefaultBodyLimit::max(app.body_limit_bytes()))
        .layer(middleware::from_fn_with_state(app.clone(), timing::time))
        .layer(RequestLayer::new())
        .with_state(app)
}

/// The document, of a service that takes these types.
#[cfg(test)]
fn document(types: &order_events::EventTypes) -> utoipa::openapi::OpenApi {
    document::configured(operations().into_openapi(), types)
}
