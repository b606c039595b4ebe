//! Reads a body that is held as a whole: within the size limit and the deadline, then inflated within the same limit.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use service_kit::{Problem, http::is_body_timeout};
use tokio::time::{Instant, timeout_at};

use super::{encoding::Encoding, problems};

/// The body of a request. `limit` is the router's body limit; a body that announces more is refused before it is sent.
pub(super) async fn read(
    request: Request,
    encoding: Encoding,
    limit: usize,
    deadline: Instant,
) -> Result<Bytes, Problem> {
    if announced_length(request.headers()).is_some_and(|length| length > limit as u64) {
        return Err(problems::body_too_large(limit));
    }
    let body = match timeout_at(deadline, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => body,
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return Err(problems::body_too_large(limit));
        }
        Ok(Err(rejection)) if is_body_timeout(&rejection) => return Err(problems::body_timeout()),
        Ok(Err(rejection)) => return Err(problems::body_unreadable(&rejection.body_text())),
        Err(_) => return Err(problems::body_timeout()),
    };
    match encoding {
        Encoding::Identity => Ok(body),
        _ => inflate(body, encoding, limit).await,
    }
}

/// Not while it arrives: who is refused half-way would often not see the answer, as the connection is closed on what
/// is still being sent.
async fn inflate(body: Bytes, encoding: Encoding, limit: usize) -> Result<Bytes, Problem> {
    let mut chunks = encoding.decode(Body::from(body));
    let mut inflated = BytesMut::new();
    while let Some(chunk) = chunks.try_next().await.map_err(|fault| fault.problem())? {
        if inflated.len() + chunk.len() > limit {
            return Err(problems::body_too_large(limit));
        }
        inflated.extend_from_slice(&chunk);
    }
    Ok(inflated.freeze())
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
