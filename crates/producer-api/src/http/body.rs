//! Reads a body that is held as a whole: inflated, within the size limit and the deadline.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use service_kit::Problem;
use tokio::time::{Instant, timeout_at};

use super::{
    encoding::{Encoding, Fault},
    problems,
};

/// The body of a request. `limit` is the router's body limit, which holds for what the body inflates to; a body that
/// announces more is refused before it is sent.
pub(super) async fn read(
    mut request: Request,
    encoding: Encoding,
    limit: usize,
    deadline: Instant,
) -> Result<Bytes, Problem> {
    if announced_length(request.headers()).is_some_and(|length| length > limit as u64) {
        return Err(problems::body_too_large(limit));
    }
    if encoding != Encoding::Identity {
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = Body::from_stream(encoding.decode(body));
    }
    match timeout_at(deadline, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(problems::body_too_large(limit))
        }
        Ok(Err(rejection)) => Err(match fault(&rejection) {
            Some(fault) => fault.problem(),
            None => problems::body_unreadable(&rejection.body_text()),
        }),
        Err(_) => Err(problems::body_timeout()),
    }
}

/// The decoder's own error, which axum has wrapped.
fn fault<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Fault> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(fault) = error.downcast_ref() {
            return Some(fault);
        }
        cause = error.source();
    }
    None
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
