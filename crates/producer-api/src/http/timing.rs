//! Times every request by route and status class.

use std::time::Instant;

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};

use crate::{app::App, metrics::Route};

/// The middleware around all routes. A request whose client went away is not timed.
pub(super) async fn time(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = route(request.method(), request.uri().path());
    let begun = Instant::now();
    let response = next.run(request).await;
    app.metrics().request(route, response.status().as_u16(), begun.elapsed());
    response
}

fn route(method: &Method, path: &str) -> Route {
    let Some(rest) = path.strip_prefix("/v1/events") else { return Route::Other };
    match (method.as_str(), rest) {
        ("POST", "") => Route::Publish,
        ("GET" | "HEAD", "") => Route::List,
        ("GET" | "HEAD", "/tail") => Route::Tail,
        ("GET" | "HEAD", id) if id.len() > 1 && id.rfind('/') == Some(0) => Route::Get,
        _ => Route::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_told_apart() {
        let cases = [
            (Method::POST, "/v1/events", Route::Publish),
            (Method::GET, "/v1/events", Route::List),
            (Method::HEAD, "/v1/events", Route::List),
            (Method::GET, "/v1/events/tail", Route::Tail),
            (Method::GET, "/v1/events/1-0", Route::Get),
            (Method::GET, "/v1/events/", Route::Other),
            (Method::GET, "/v1/events/1-0/x", Route::Other),
            (Method::GET, "/v1/eventsx", Route::Other),
            (Method::DELETE, "/v1/events", Route::Other),
            (Method::GET, "/", Route::Other),
        ];
        for (method, path, expected) in cases {
            assert_eq!(route(&method, path), expected, "{method} {path}");
        }
    }
}
