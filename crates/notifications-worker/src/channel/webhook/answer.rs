//! What an answer that is no success means: whether to try again, and when.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use reqwest::{
    StatusCode,
    header::{HeaderMap, LOCATION, RETRY_AFTER},
};

use super::{REASON_MAX, SendError};
use crate::plain;

/// The longest time that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);
/// The longest text of the answer's own that is kept, in characters.
const BODY_TEXT_MAX: usize = 160;

/// Client errors mean that this request will never be taken, except for those that speak of the moment; everything
/// else may pass (RFC 9110, 15; 425: RFC 8470; 429: RFC 6585).
pub(super) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> SendError {
    let mut reason = format!("answered {}", status.as_u16());
    if status.is_redirection() {
        let location = headers.get(LOCATION).map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned());
        // Where it leads may hold a token: scheme and host say enough.
        let to =
            location.and_then(|to| url::Url::parse(&to).ok()).map(|to| to.origin().ascii_serialization());
        reason.push_str(", a redirect, which is not followed");
        reason.push_str(&to.map_or_else(String::new, |to| format!(": to {to}")));
        return SendError::Permanent(plain::line(&reason, REASON_MAX));
    }
    let text = plain::line(&String::from_utf8_lossy(body), BODY_TEXT_MAX);
    if !text.is_empty() {
        reason.push_str(": ");
        reason.push_str(&text);
    }
    let after =
        headers.get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, Timestamp::now()));
    match status.as_u16() {
        // The receiver is at work on this very message, or wants it again by itself.
        409 | 425 => SendError::Temporary { reason, after },
        408 | 429 => SendError::Down { reason, after },
        400..=499 => SendError::Permanent(reason),
        _ => SendError::Down { reason, after },
    }
}

/// Seconds, or a date (RFC 9110, 10.2.3); bounded.
fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let after = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() => RETRY_AFTER_MAX,
        Err(_) => {
            let at = DateTimeParser::new().parse_timestamp(value).ok()?;
            Duration::try_from(at.duration_since(now)).unwrap_or_default()
        }
    };
    Some(after.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(status: u16, headers: &[(&'static str, &'static str)], body: &[u8]) -> SendError {
        let headers = headers.iter().map(|(name, value)| {
            (name.parse().expect("a name"), reqwest::header::HeaderValue::from_static(value))
        });
        classify(StatusCode::from_u16(status).expect("a status"), &headers.collect(), body)
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_will_not_is_refused() {
        for status in [300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 410, 413, 415, 422, 451] {
            assert!(matches!(classified(status, &[], b""), SendError::Permanent(_)), "{status}");
        }
        for status in [408, 429, 500, 501, 502, 503, 504, 599, 600] {
            assert!(matches!(classified(status, &[], b""), SendError::Down { after: None, .. }), "{status}");
        }
        for status in [409, 425] {
            assert!(matches!(classified(status, &[], b""), SendError::Temporary { .. }), "{status}");
        }
    }

    #[test]
    fn a_redirect_is_named_without_what_may_be_a_secret() {
        let redirect = classified(301, &[("location", "http://169.254.169.254/token?secret=1")], b"");
        let reason = "refused: answered 301, a redirect, which is not followed: to http://169.254.169.254";
        assert_eq!(redirect.to_string(), reason);
    }

    #[test]
    fn the_receiver_says_when() {
        let Some(now) = "1994-11-06T08:49:00Z".parse().ok() else { panic!("a time") };
        for (value, after) in [
            ("120", Some(Duration::from_mins(2))),
            (" 0 ", Some(Duration::ZERO)),
            ("999999999", Some(RETRY_AFTER_MAX)),
            ("99999999999999999999999999", Some(RETRY_AFTER_MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(Duration::from_secs(37))),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(Duration::ZERO)),
            ("Sun, 06 Nov 2094 08:49:37 GMT", None),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            let parsed = retry_after(value, now);
            match after {
                Some(after) => assert_eq!(parsed, Some(after), "{value:?}"),
                // A day of the week that does not fit its date may be refused as well.
                None => {
                    assert!(parsed.is_none_or(|parsed| parsed == RETRY_AFTER_MAX), "{value:?}: {parsed:?}");
                }
            }
        }
        let asked = classified(429, &[("retry-after", "7")], b"slow\r\ndown");
        let reason = "answered 429: slow down".to_owned();
        assert_eq!(asked, SendError::Down { reason, after: Some(Duration::from_secs(7)) });
    }

    #[test]
    fn what_the_answer_says_is_bounded_and_plain() {
        let body = format!("\u{1b}[31m{}", "a\r\nlevel=ERROR forged\0 ".repeat(500));
        let SendError::Down { reason, .. } = classified(500, &[], body.as_bytes()) else { panic!("down") };
        assert!(reason.chars().count() < 200 && !reason.contains(char::is_control), "{reason:?}");
    }
}
