//! The routes: the page, the API that it uses, and the OpenAPI document made of it.

mod extract;
mod form;
mod guard;
mod guide;
mod levers;
mod live;
mod looking;
mod session;
mod tail;
#[cfg(test)]
mod tests;

use axum::{Router, extract::DefaultBodyLimit, middleware, routing::get};
use service_kit::{
    problem::{method_not_allowed, not_found},
    request::RequestLayer,
};
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use self::extract::Path;

use crate::{app::App, assets};

/// The largest body of a request, in bytes: that of a thousand IDs.
const BODY_MAX: usize = 64 * 1024;

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Orderflow console",
    description = "What the console's page uses. Errors are `application/problem+json` (RFC 9457) with a stable `type`. With \
                   `console.token` or API keys set, a request needs `Authorization: Bearer TOKEN`, or the cookie of a login.",
))]
struct Document;

/// What needs no login.
fn open() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(session::session))
        .routes(routes!(session::login))
        .routes(routes!(session::logout))
}

/// What does.
fn closed() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(live::live))
        .routes(routes!(live::state))
        .routes(routes!(levers::produce))
        .routes(routes!(levers::add))
        .routes(routes!(levers::remove))
        .routes(routes!(levers::pause))
        .routes(routes!(levers::resume))
        .routes(routes!(levers::drop_next))
        .routes(routes!(levers::claim))
        .routes(routes!(levers::hand_over))
        .routes(routes!(levers::claiming))
        .routes(routes!(levers::pause_group))
        .routes(routes!(levers::resume_group))
        .routes(routes!(levers::trim))
        .routes(routes!(levers::reset))
        .routes(routes!(tail::tail))
        .routes(routes!(looking::pending))
        .routes(routes!(looking::entries))
        .routes(routes!(looking::entry))
        .routes(routes!(looking::order))
        .routes(routes!(looking::dead_letter_counts))
        .routes(routes!(looking::dead_letters))
        .routes(routes!(looking::dead_letter))
        .routes(routes!(looking::redrive))
        .routes(routes!(looking::purge))
        .routes(routes!(looking::summary))
        .routes(routes!(looking::timeseries))
        .routes(routes!(looking::top_customers))
        .routes(routes!(looking::server))
        .routes(routes!(guide::state))
        .routes(routes!(guide::produce))
        .routes(routes!(guide::add_worker))
        .routes(routes!(guide::remove_worker))
        .routes(routes!(guide::crash))
        .routes(routes!(guide::autoclaim))
        .routes(routes!(guide::replay))
        .routes(routes!(guide::trim))
        .routes(routes!(guide::reset))
}

/// The OpenAPI document.
fn document() -> utoipa::openapi::OpenApi {
    open().merge(closed()).into_openapi()
}

/// Method and path of every route of the API, and of the page.
pub(crate) fn route_names() -> Vec<String> {
    let page = ["GET /", "GET /assets/{*path}", "GET /openapi.json"].map(str::to_owned);
    let documented = document().paths.paths;
    let operations = documented.iter().flat_map(|(path, item)| {
        let methods = [("GET", &item.get), ("POST", &item.post), ("DELETE", &item.delete)];
        methods
            .into_iter()
            .filter(|(_, operation)| operation.is_some())
            .map(move |(method, _)| (method, path))
    });
    operations.map(|(method, path)| format!("{method} {path}")).chain(page).collect()
}

/// Every route. All errors are problems, also of paths and methods that there are not.
pub(crate) fn router(app: App) -> Router {
    let authorize = middleware::from_fn_with_state(app.clone(), guard::authorize);
    let (api, document) = open().merge(closed().route_layer(authorize)).split_for_parts();
    let document = document.to_json().unwrap_or_default();
    let openapi = async move || ([("content-type", "application/json")], document.clone());
    let bounded = middleware::from_fn_with_state(app.clone(), guard::bound);
    let checked = middleware::from_fn_with_state(app.clone(), guard::check);
    api.route("/", get(assets::page))
        .route("/assets/{*path}", get(assets::file))
        .route("/openapi.json", get(openapi))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(bounded)
        .layer(checked)
        .layer(middleware::from_fn(form::translate))
        .layer(middleware::from_fn_with_state(app.clone(), guard::count))
        .layer(middleware::from_fn(guard::protect))
        .layer(RequestLayer::new())
        .with_state(app)
}
