//! What is around every route: who may come in, how long it may take, and what the browser is told to beware of.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use service_kit::{
    Problem,
    auth::{Refusal, Scope, address, charged},
};
use tokio::time::timeout;

use crate::{access::is_own_page, app::App, problems};

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                   base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What every answer says, whatever it is.
const HEADERS: [(&str, &str); 6] = [
    ("content-security-policy", CSP),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Adds the headers that keep a browser from being misused.
pub(super) async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Refuses what another page has sent, and whoever was led here under a name that is not ours.
pub(super) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    if !app.access.knows_host(request.headers()) {
        return Problem::new(
            StatusCode::FORBIDDEN,
            "/problems/unknown-host",
            "The console is not known by this name",
        )
        .detail(
            "call it by an IP address or as localhost; or add the name to console.allowed_hosts \
                 (ORDERFLOW__CONSOLE__ALLOWED_HOSTS), or set console.token",
        )
        .into_response();
    }
    if !is_safe(request.method()) && !is_own_page(request.headers()) {
        return Problem::new(
            StatusCode::FORBIDDEN,
            "/problems/cross-origin",
            "The request comes from another page",
        )
        .detail("only the console's own page, or a program that is no browser, can change something")
        .into_response();
    }
    next.run(request).await
}

/// Lets through who may come in, and in read-only mode only what changes nothing.
pub(super) async fn authorize(State(app): State<App>, request: Request, next: Next) -> Response {
    let visitor = match app.access.admit(request.headers(), address(request.extensions())) {
        Ok(visitor) => visitor,
        Err(refusal) => return refused(&refusal),
    };
    if is_safe(request.method()) {
        return charged(visitor.caller, request, next).await;
    }
    if visitor.read_only && !app.access.read_only() {
        return Refusal::MissingScope(Scope::Admin).into_response();
    }
    if visitor.read_only {
        return Problem::new(StatusCode::FORBIDDEN, "/problems/read-only", "The console is read-only")
            .detail("set console.read_only (ORDERFLOW__CONSOLE__READ_ONLY) to false to change something")
            .into_response();
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let key = visitor.caller.id().map(str::to_owned);
    let response = charged(visitor.caller, request, next).await;
    tracing::info!(
        %method, path, key, status = response.status().as_u16(), "an operator has changed something"
    );
    app.live.hurry();
    response
}

fn refused(refusal: &Refusal) -> Response {
    let problem = match refusal {
        Refusal::Missing | Refusal::Unknown => {
            Problem::new(StatusCode::UNAUTHORIZED, "/problems/unauthorized", "A login is needed")
                .detail("log in, or send console.token or an API key as `Authorization: Bearer TOKEN`")
        }
        _ => refusal.problem(),
    };
    refusal.answer(problem)
}

/// Gives every request its answer in time. What streams is not bounded by it, but its beginning is.
pub(super) async fn bound(State(app): State<App>, request: Request, next: Next) -> Response {
    match timeout(app.deadline(), next.run(request)).await {
        Ok(response) => response,
        Err(_) => problems::timed_out().into_response(),
    }
}

/// Counts every request by its route. One whose client went away is not counted.
pub(super) async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let (route, begun) = (format!("{method} {path}"), Instant::now());
    let response = next.run(request).await;
    app.metrics.request(&route, response.status().as_u16(), begun.elapsed());
    response
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
