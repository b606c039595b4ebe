//! Server spans: what one HTTP request was, and what else it was for.

use axum::{
    extract::{MatchedPath, Request},
    http::{Method, StatusCode},
};
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanKind, Status, TraceContextExt},
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use super::{Remote, TRACES, span};
use crate::http::OverTls;

/// What a request is part of.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// Its recorded span.
    pub(crate) span: Option<Context>,
    /// The trace of whoever sent it, as it is passed on where there is no span.
    pub(crate) remote: Option<Remote>,
}

/// Begins the span of a request, if it is to be recorded.
pub(crate) fn serve(request: &Request) -> Served {
    let remote = Remote::of_request(request.headers());
    let Some(traces) = TRACES.get() else { return Served { span: None, remote } };
    let parent = remote.as_ref().map(|remote| remote.parent);
    let trace = parent.map_or_else(|| RandomIdGenerator::default().new_trace_id(), |parent| parent.trace);
    if !traces.sampling.records(trace, parent) {
        let remote = remote.map(|remote| Remote { parent: remote.parent.unsampled(), ..remote });
        return Served { span: None, remote };
    }
    let method = method(request.method());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let name = route.as_deref().map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
    let is_tls = request.extensions().get::<OverTls>().is_some();
    let mut attributes = vec![
        KeyValue::new("http.request.method", method),
        KeyValue::new("url.path", request.uri().path().to_owned()),
        KeyValue::new("url.scheme", if is_tls { "https" } else { "http" }),
    ];
    attributes.extend(route.map(|route| KeyValue::new("http.route", route)));
    let parent = remote.as_ref().map(Remote::context);
    let span = traces.start(span(name, SpanKind::Server, attributes), parent.as_ref(), Some(trace));
    Served { span: Some(span), remote: None }
}

/// Ends the span of a request that was answered. What the server is to blame for is an error.
pub(crate) fn answered(span: &Context, status: StatusCode) {
    let span = span.span();
    span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    if status.is_server_error() {
        span.set_attribute(KeyValue::new("error.type", status.as_str().to_owned()));
        span.set_status(Status::error(status.canonical_reason().unwrap_or_default()));
    }
    span.end();
}

/// The method, out of a closed set.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}
