//! An API's description: the OpenAPI document made of the code, and the same as a page for people.
//!
//! [`Answers`] describes what an operation answers, its examples made by the code that answers; [`routes`] serves the
//! document at `/openapi.json` and the page, which needs no script and nothing from anywhere else, at `/docs`.

mod answers;
mod html;
mod page;
mod schema_text;

use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use utoipa::openapi::OpenApi;

pub use self::answers::{Answers, ProblemDetails};

/// All that the page may load is its own style sheet.
const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const STYLE: &str = include_str!("style.css");

/// `/openapi.json`, `/docs` and the page's style sheet, all made now.
pub fn routes<S: Clone + Send + Sync + 'static>(document: &OpenApi) -> Router<S> {
    // Made of strings and numbers, it always serializes.
    let json = serde_json::to_value(document).unwrap_or_default();
    let page = page::render(&json);
    let json = json.to_string();
    Router::new()
        .route("/openapi.json", get(async move || answer("application/json", json.clone())))
        .route("/docs", get(async move || answer("text/html; charset=utf-8", page.clone())))
        .route("/docs/style.css", get(async || answer("text/css; charset=utf-8", STYLE)))
}

fn answer(media_type: &'static str, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("referrer-policy"), "no-referrer"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
