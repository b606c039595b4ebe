//! Reads a JSON body: right media type, within the size limit and the deadline.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use service_kit::{Problem, http::is_body_timeout};
use tokio::time::{Instant, timeout_at};

use super::problems;

/// The body of a request that claims to be JSON. `limit` is the router's body limit; a body that announces
/// more is refused before it is sent.
pub(super) async fn read_json(request: Request, limit: usize, deadline: Instant) -> Result<Bytes, Problem> {
    check_media_type(request.headers())?;
    if announced_length(request.headers()).is_some_and(|length| length > limit as u64) {
        return Err(problems::body_too_large(limit));
    }
    match timeout_at(deadline, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(problems::body_too_large(limit))
        }
        Ok(Err(rejection)) if is_body_timeout(&rejection) => Err(problems::body_timeout()),
        Ok(Err(rejection)) => Err(problems::body_unreadable(&rejection.body_text())),
        Err(_) => Err(problems::body_timeout()),
    }
}

/// `application/json`, whatever its parameters, and not compressed.
fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let Some(content_type) = text(header::CONTENT_TYPE) else {
        return Err(problems::unsupported_media_type("there is no Content-Type; allowed: application/json"));
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let detail = format!("Content-Type is {essence:?}; allowed: application/json");
        return Err(problems::unsupported_media_type(detail));
    }
    match text(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.trim().eq_ignore_ascii_case("identity") => {
            let detail = format!("Content-Encoding is {encoding:?}; send the body uncompressed");
            Err(problems::unsupported_media_type(detail))
        }
        _ => Ok(()),
    }
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn checked(headers: &[(header::HeaderName, &'static str)]) -> Option<u16> {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        check_media_type(&headers).err().map(|problem| problem.status().as_u16())
    }

    #[test]
    fn json_is_taken_with_parameters_and_in_any_case() {
        for content_type in ["application/json", "Application/JSON", "application/json; charset=utf-8"] {
            assert_eq!(checked(&[(header::CONTENT_TYPE, content_type)]), None, "{content_type}");
        }
        let identity = [(header::CONTENT_TYPE, "application/json"), (header::CONTENT_ENCODING, "identity")];
        assert_eq!(checked(&identity), None);
    }

    #[test]
    fn everything_else_is_415() {
        assert_eq!(checked(&[]), Some(415));
        for content_type in ["text/plain", "application/x-ndjson", "application/cloudevents+json", ""] {
            assert_eq!(checked(&[(header::CONTENT_TYPE, content_type)]), Some(415), "{content_type}");
        }
        let gzip = [(header::CONTENT_TYPE, "application/json"), (header::CONTENT_ENCODING, "gzip")];
        assert_eq!(checked(&gzip), Some(415));
    }
}
