//! [`RequestId`]: the client's own, if it sent one that can be logged, else one made here.

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header of requests and answers.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of an ID at most; one that is longer is as good as none.
const LENGTH_MAX: usize = 128;

/// What a request is called in answers, problems and log lines: 1 to 128 visible ASCII characters, none of which has to
/// be escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// That of a request: what the client calls it, or a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        match headers.get(REQUEST_ID) {
            Some(value) if is_usable(value.as_bytes()) => Self(value.clone()),
            _ => Self::random(),
        }
    }

    fn random() -> Self {
        let mut text = String::with_capacity(32);
        // Writing to a string cannot fail, and hexadecimal digits are a header's value.
        _ = write!(text, "{:032x}", fastrand::u128(..));
        Self(HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unknown")))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The value of the header.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

fn is_usable(id: &[u8]) -> bool {
    let usable = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    (1..=LENGTH_MAX).contains(&id.len()) && id.iter().all(usable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(value: Option<&str>) -> String {
        let value = value.map(|value| (REQUEST_ID, HeaderValue::from_bytes(value.as_bytes()).unwrap()));
        RequestId::of(&value.into_iter().collect()).as_str().to_owned()
    }

    #[test]
    fn what_a_client_calls_its_request_is_kept() {
        let longest = "x".repeat(128);
        for id in ["7", "order-42/retry:1", longest.as_str()] {
            assert_eq!(id_of(Some(id)), id);
        }
    }

    #[test]
    fn what_cannot_be_logged_is_replaced() {
        let too_long = "x".repeat(129);
        for id in ["", "two words", "quo\"te", "back\\slash", "t\tab", "münchen", too_long.as_str()] {
            let made = id_of(Some(id));
            assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id:?}: {made}");
        }
        assert_ne!(id_of(None), id_of(None));
    }
}
