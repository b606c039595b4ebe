//! The HTTP binding of CloudEvents 1.0: attributes that are headers, and entries that go out as events.

use std::fmt::Write as _;

use axum::http::{HeaderMap, header};
use order_events::{BodyError, EventProblem, cloudevents::CloudEvent};
use serde_json::json;
use stream_core::{Entry, StreamKey};

use super::entry_json::EntryJson;

const PREFIX: &str = "ce-";

/// The attributes of the binary mode: every header that starts with `ce-`, and the media type of the data.
///
/// Values are unquoted, then percent-decoded once (HTTP binding, section 3.1.3.2).
pub(super) fn attributes(headers: &HeaderMap) -> Result<Vec<(String, String)>, BodyError> {
    let (mut attributes, mut problems) = (Vec::new(), Vec::new());
    for (header, value) in headers {
        let name = match header.as_str().strip_prefix(PREFIX) {
            Some(name) => name,
            None if header == header::CONTENT_TYPE => "datacontenttype",
            None => continue,
        };
        let decoded = if header == header::CONTENT_TYPE {
            Ok(String::from_utf8_lossy(value.as_bytes()).into_owned())
        } else {
            decode(value.as_bytes())
        };
        match decoded {
            Ok(value) => attributes.push((name.to_owned(), value)),
            Err(message) => {
                let field = name.chars().take(40).collect();
                problems.push(EventProblem { index: 0, field, message: message.to_owned() });
            }
        }
    }
    if problems.is_empty() { Ok(attributes) } else { Err(BodyError::Invalid(problems)) }
}

/// The text of a header value.
fn decode(value: &[u8]) -> Result<String, &'static str> {
    let unquoted = match value {
        [b'"', inner @ .., b'"'] => &unescape(inner)?[..],
        _ => value,
    };
    let mut bytes = Vec::with_capacity(unquoted.len());
    let mut rest = unquoted.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(*digit).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err("has a % without two hexadecimal digits; allowed: a percent-encoded value");
                };
                bytes.push((high * 16 + low) as u8);
            }
            0x20..=0x7e => bytes.push(*byte),
            _ => return Err("has bytes that are not ASCII; allowed: a percent-encoded value"),
        }
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 once decoded; allowed: percent-encoded UTF-8")
}

/// What stands in a quoted string (RFC 9110, section 5.6.4).
fn unescape(inner: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => bytes.push(*rest.next().ok_or("ends in the middle of an escape")?),
            b'"' => return Err("has a quotation mark within quotation marks"),
            _ => bytes.push(*byte),
        }
    }
    Ok(bytes)
}

/// An entry as it goes out. One that is no order event goes out as what it is, so that nothing is hidden.
pub(super) fn of_entry(entry: &Entry, stream: &StreamKey) -> CloudEvent {
    let (id, source) = (entry.id.to_string(), default_source(stream));
    CloudEvent::of_entry(&id, entry.id.ms, &source, entry.fields.iter()).unwrap_or_else(|_| {
        let shown = serde_json::to_value(EntryJson(entry)).unwrap_or_else(|_| json!({}));
        CloudEvent::unreadable(&id, entry.id.ms, &source, shown)
    })
}

/// The source of an event whose producer named none.
fn default_source(stream: &StreamKey) -> String {
    let mut source = String::from("/streams/");
    for byte in stream.as_str().bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                source.push(byte.into());
            }
            // Writing to a string does not fail.
            _ => _ = write!(source, "%{byte:02X}"),
        }
    }
    source
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn decoded(value: &str) -> Result<String, &'static str> {
        decode(value.as_bytes())
    }

    #[test]
    fn values_are_unquoted_and_decoded_once() {
        for (value, text) in [
            ("/shop", "/shop"),
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
            ("%25%32%30", "%20"),
            ("a b", "a b"),
            (r#""a \"b\" \\c""#, r#"a "b" \c"#),
            (r#""a%20b""#, "a b"),
            (r#"""#, r#"""#),
            ("", ""),
        ] {
            assert_eq!(decoded(value).as_deref(), Ok(text), "{value}");
        }
        for value in ["%", "%4", "%zz", "%ff", "%C3", "æ", "a\u{1}", "\"\\\"", "\"a\"b\""] {
            assert!(decoded(value).is_err(), "{value}");
        }
    }

    #[test]
    fn only_headers_of_events_are_attributes() {
        let headers = [
            ("ce-id", "1"),
            ("content-type", "application/json"),
            ("ce-id", "2"),
            ("x-ce-id", "3"),
            ("accept", "*/*"),
        ];
        let headers = headers
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .into_iter();
        let mut found = HeaderMap::new();
        headers.for_each(|(name, value)| _ = found.append(name, value));
        let mut attributes = attributes(&found).unwrap();
        attributes.sort();
        let expected = [("datacontenttype", "application/json"), ("id", "1"), ("id", "2")];
        assert_eq!(attributes, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        found.insert("ce-subject", HeaderValue::from_static("%"));
        let Err(BodyError::Invalid(problems)) = super::attributes(&found) else { panic!() };
        assert_eq!(problems[0].field, "subject");
    }

    #[test]
    fn the_default_source_is_a_uri_reference() {
        let key = StreamKey::new("events:orders:{tenant/a}").unwrap();
        assert_eq!(default_source(&key), "/streams/events:orders:%7Btenant%2Fa%7D");
    }

    proptest! {
        #[test]
        fn any_text_survives_percent_encoding(text in any::<String>()) {
            let encoded: String = text.bytes().map(|byte| match byte {
                b'!'..=b'~' if !matches!(byte, b'"' | b'%') => char::from(byte).to_string(),
                _ => format!("%{byte:02x}"),
            }).collect();
            prop_assert_eq!(decoded(&encoded), Ok(text));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            _ = decode(&bytes);
        }
    }
}
