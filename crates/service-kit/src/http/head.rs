//! What a request's head may be: bounds on its URI and on its headers.

use axum::{
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};

use crate::Problem;

/// Most header lines of a request. hyper's own bound for HTTP/1, held for HTTP/2 as well.
pub(super) const HEADERS_MAX: usize = 100;
/// What a header line has beside name and value: colon, space, CR and LF.
const LINE_BYTES: usize = 4;

/// Bounds of a head.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadLimits {
    /// Most bytes of path and query.
    pub(super) uri_bytes: usize,
    /// Most bytes of all headers.
    pub(super) header_bytes: usize,
}

/// The answer to a head that is over a bound.
pub(super) fn refuse(head: &Parts, limits: &HeadLimits) -> Option<Response> {
    let uri_bytes = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if uri_bytes > limits.uri_bytes {
        let detail = format!("path and query have {uri_bytes} bytes; at most {} are taken", limits.uri_bytes);
        return Some(problem(StatusCode::URI_TOO_LONG, "/problems/uri-too-long", "URI too long", detail));
    }
    let line = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        name.as_str().len() + value.len() + LINE_BYTES
    };
    let header_bytes: usize = head.headers.iter().map(line).sum();
    let detail = if head.headers.len() > HEADERS_MAX {
        format!("there are {} headers; at most {HEADERS_MAX} are taken", head.headers.len())
    } else if header_bytes > limits.header_bytes {
        format!("the headers have {header_bytes} bytes; at most {} are taken", limits.header_bytes)
    } else {
        return None;
    };
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Some(problem(status, "/problems/headers-too-large", "Request headers too large", detail))
}

fn problem(status: StatusCode, kind: &'static str, title: &'static str, detail: String) -> Response {
    Problem::new(status, kind, title).detail(detail).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits { uri_bytes: 20, header_bytes: 100 };

    fn refused(uri: &str, headers: &[(&str, usize)]) -> Option<u16> {
        let mut request = Request::builder().uri(uri);
        for (name, bytes) in headers {
            request = request.header(*name, "v".repeat(*bytes));
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        refuse(&head, &LIMITS).map(|answer| answer.status().as_u16())
    }

    #[test]
    fn each_bound_is_exact() {
        assert_eq!(refused("/v1/events?start=000", &[]), None);
        assert_eq!(refused("/v1/events?start=0000", &[]), Some(414));
        assert_eq!(refused("http://a-host-with-a-name/v1/events?start=000", &[]), None);
        assert_eq!(refused("/", &[("a", 95)]), None);
        assert_eq!(refused("/", &[("a", 96)]), Some(431));
        assert_eq!(refused("/", &[("a", 45), ("b", 46)]), Some(431));
    }

    #[test]
    fn many_small_headers_are_too_many() {
        let limits = HeadLimits { header_bytes: 10_000, ..LIMITS };
        let with = |count: usize| {
            let mut request = Request::builder();
            for _ in 0..count {
                request = request.header("a", "");
            }
            refuse(&request.body(()).unwrap().into_parts().0, &limits).is_some()
        };
        assert!(!with(HEADERS_MAX) && with(HEADERS_MAX + 1));
    }
}
