//! Bounds of a request's head, for public routers: a longer one is a problem with a name, not a connection that breaks.
//!
//! What the HTTP server itself bounds (bytes and number of header fields on the wire, time to send them) is larger.

use axum::{
    extract::Request,
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::Problem;

/// Longest path and query, in bytes: RFC 9110 asks for 8,000 at least.
pub const URI_MAX: usize = 8_192;
/// Most header fields.
pub const FIELDS_MAX: usize = 64;
/// Longest header field, name and value, in bytes.
pub const FIELD_BYTES_MAX: usize = 8_192;
/// Most bytes of all header fields together.
pub const HEADER_BYTES_MAX: usize = 32_768;

/// The middleware: `414` for a URI that is too long, `431` for too many or too long header fields (RFC 6585).
pub async fn check(request: Request, next: Next) -> Response {
    match problem(&request) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn problem(request: &Request) -> Option<Problem> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > URI_MAX {
        let (kind, title) = ("/problems/uri-too-long", "The URI is too long");
        let detail = format!("path and query are longer than {URI_MAX} bytes");
        return Some(
            Problem::new(StatusCode::URI_TOO_LONG, kind, title).detail(detail).with("limit_bytes", URI_MAX),
        );
    }
    let headers = request.headers();
    let length = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        name.as_str().len() + value.len()
    };
    let (mut total, mut longest) = (0, 0);
    for bytes in headers.iter().map(length) {
        total += bytes;
        longest = longest.max(bytes);
    }
    let detail = if headers.len() > FIELDS_MAX {
        format!("there are more than {FIELDS_MAX} header fields")
    } else if longest > FIELD_BYTES_MAX {
        format!("a header field is longer than {FIELD_BYTES_MAX} bytes")
    } else if total > HEADER_BYTES_MAX {
        format!("the header fields are longer than {HEADER_BYTES_MAX} bytes together")
    } else {
        return None;
    };
    let title = "The request's header is too large";
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Some(Problem::new(status, "/problems/header-too-large", title).detail(detail))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn status(uri: &str, fields: &[(String, String)]) -> Option<u16> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(name, value);
        }
        problem(&request.body(Body::empty()).unwrap()).map(|problem| problem.status().as_u16())
    }

    fn fields(count: usize, bytes: usize) -> Vec<(String, String)> {
        (0..count).map(|index| (format!("x-{index:02}"), "v".repeat(bytes - 4))).collect()
    }

    #[test]
    fn a_head_may_be_as_large_as_the_limits_and_no_larger() {
        let uri = |bytes: usize| format!("/{}", "a".repeat(bytes - 1));
        assert_eq!(status(&uri(URI_MAX), &fields(4, FIELD_BYTES_MAX)), None);
        assert_eq!(status(&uri(URI_MAX + 1), &[]), Some(414));
        assert_eq!(status("/", &fields(FIELDS_MAX, 10)), None);
        assert_eq!(status("/", &fields(FIELDS_MAX + 1, 10)), Some(431));
        assert_eq!(status("/", &fields(1, FIELD_BYTES_MAX + 1)), Some(431));
        assert_eq!(status("/", &fields(33, 1_000)), Some(431));
    }
}
