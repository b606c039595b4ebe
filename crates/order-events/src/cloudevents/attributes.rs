//! The context attributes of an event: which there are, what they may be, and where they go.

use super::{encode::ENTRY_ID, time};
use crate::{
    event_type::EventType,
    json::{Envelope, ParseContext, Scalar},
    metadata,
    problem::EventProblem,
    text::{check_text, shorten},
    timestamp::check_not_ahead,
};

/// Most bytes of `source`.
pub const MAX_SOURCE_BYTES: usize = 1_024;

/// Most bytes of all attributes that an entry keeps, names and values: far below
/// [`MAX_METADATA_BYTES`](crate::MAX_METADATA_BYTES), so that the pipeline has room to add to them.
pub const MAX_ATTRIBUTES_BYTES: usize = 16_384;

const MAX_NAME_CHARS: usize = 20;

const REQUIRED: [(&str, &str); 4] = [
    ("specversion", "\"1.0\""),
    ("id", "1 to 128 printable characters"),
    ("source", "a URI reference"),
    ("type", "one of the types that may be sent"),
];

/// Reads attributes one by one and collects all that is wrong with them.
pub(super) struct Attributes<'c> {
    index: usize,
    context: &'c ParseContext<'c>,
    names: Vec<String>,
    /// Which of [`REQUIRED`] are there and not null.
    given: [bool; REQUIRED.len()],
    /// Bytes of what the entry keeps.
    bytes: usize,
    envelope: Envelope,
}

impl<'c> Attributes<'c> {
    pub(super) fn new(index: usize, context: &'c ParseContext<'c>) -> Self {
        let (given, bytes, envelope) = Default::default();
        Self { index, context, names: Vec::with_capacity(8), given, bytes, envelope }
    }

    /// Notes a name; false if it was there already, which is a problem.
    pub(super) fn is_new(&mut self, name: &str) -> bool {
        let before = self.names.iter().filter(|seen| *seen == name).count();
        if before == 1 {
            self.problem(name, "is there more than once; allowed: each attribute once");
        }
        self.names.push(name.to_owned());
        before == 0
    }

    /// Reads one attribute. `null` is the same as none.
    pub(super) fn read(&mut self, name: &str, value: Scalar<'_>) {
        if !self.is_new(name) || value == (Scalar::Refused { kind: Scalar::NULL }) {
            return;
        }
        if let Some(place) = REQUIRED.iter().position(|(required, _)| *required == name) {
            self.given[place] = true;
        }
        let result = match name {
            "specversion" => text(value).and_then(|text| specversion(&text)),
            "id" => text(value).and_then(|id| {
                check_text(&id).map_err(|error| error.to_string())?;
                self.keep(metadata::ID, id);
                Ok(())
            }),
            "source" => text(value).and_then(|source| {
                check_source(&source)?;
                self.keep(metadata::SOURCE, source);
                Ok(())
            }),
            "type" => text(value).and_then(|name| self.event_type(name)),
            "subject" => text(value).and_then(|subject| {
                check_value(&subject)?;
                if subject.is_empty() {
                    return Err("is empty; allowed: at least one character, or no subject".to_owned());
                }
                self.bytes += subject.len();
                self.envelope.subject = Some(subject);
                Ok(())
            }),
            "time" => text(value).and_then(|text| {
                let ts_ms = time::parse(&text)?;
                let ts_ms = check_not_ahead(ts_ms, self.context.now_ms).map_err(|error| error.to_string())?;
                self.envelope.ts_ms = Some(ts_ms);
                Ok(())
            }),
            "datacontenttype" => text(value).and_then(|media_type| {
                if is_json_media_type(&media_type) {
                    return Ok(());
                }
                let shown = shorten(&media_type);
                Err(format!("is {shown:?}; allowed: application/json and other media types of JSON"))
            }),
            "dataschema" => text(value).and_then(|uri| {
                check_uri_reference(&uri)?;
                self.keep_attribute(name, uri);
                Ok(())
            }),
            // What an entry was sent out with; a new one gets its own.
            ENTRY_ID => Ok(()),
            _ => self.extension(name, value),
        };
        if let Err(message) = result {
            self.problem(name, message);
        }
    }

    fn event_type(&mut self, name: String) -> Result<(), String> {
        let types = self.context.types;
        if !types.contains(&name) {
            return Err(format!("{:?} is not an allowed type; allowed: {types}", shorten(&name)));
        }
        self.envelope.event_type = Some(EventType::from(name));
        Ok(())
    }

    fn extension(&mut self, name: &str, value: Scalar<'_>) -> Result<(), String> {
        check_name(name)?;
        let value = match value {
            Scalar::Text(text) => text.into_owned(),
            Scalar::Literal { text, kind: Scalar::BOOLEAN } => text.to_owned(),
            // The type Integer of CloudEvents.
            Scalar::Literal { text, .. } if text.parse::<i32>().is_ok() => text.to_owned(),
            other => {
                return Err(other.refusal("a string, a boolean or a whole number of 32 bits"));
            }
        };
        check_value(&value)?;
        if name == "traceparent" && is_traceparent(&value) {
            self.keep(metadata::TRACEPARENT, value);
        } else {
            self.keep_attribute(name, value);
        }
        Ok(())
    }

    fn keep_attribute(&mut self, name: &str, value: String) {
        self.keep(&format!("{}{name}", metadata::ATTRIBUTE_PREFIX), value);
    }

    fn keep(&mut self, field: &str, value: String) {
        self.bytes += field.len() + value.len();
        // What is too much is not even held.
        if self.bytes <= MAX_ATTRIBUTES_BYTES {
            self.envelope.metadata.push((field.to_owned(), value));
        }
    }

    pub(super) fn problem(&mut self, field: &str, message: impl Into<String>) {
        let field = shorten(field);
        self.envelope.problems.push(EventProblem { index: self.index, field, message: message.into() });
    }

    /// Ends the envelope: what is missing or too much is a problem. `complete` tells whether every attribute was
    /// read.
    pub(super) fn finish(mut self, complete: bool) -> Envelope {
        for (place, (name, allowed)) in REQUIRED.into_iter().enumerate() {
            if complete && !self.given[place] {
                self.problem(name, format!("is missing; allowed: {allowed}"));
            }
        }
        if self.bytes > MAX_ATTRIBUTES_BYTES {
            let bytes = self.bytes;
            self.problem(
                "",
                format!("has {bytes} bytes of attributes; allowed: at most {MAX_ATTRIBUTES_BYTES}"),
            );
        }
        self.envelope
    }
}

/// Whether a media type is JSON, whatever its parameters: `application/json`, `text/json`, or any that ends in
/// `+json`.
pub fn is_json_media_type(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    let is_token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    let json = matches!(kind, "application" | "text") && subtype == "json";
    json || (is_token(kind) && is_token(subtype) && subtype.len() > 5 && subtype.ends_with("+json"))
}

/// Whether an extension attribute may have this name: 1 to 20 of `a` to `z` and `0` to `9`.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let right =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if right && name.len() <= MAX_NAME_CHARS {
        return Ok(());
    }
    Err(format!("is no name of an attribute; allowed: 1 to {MAX_NAME_CHARS} of a to z and 0 to 9"))
}

/// The rule for `source`, which entries of other tools need not keep.
pub(super) fn check_source(source: &str) -> Result<(), String> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(format!("has {} bytes; allowed: at most {MAX_SOURCE_BYTES}", source.len()));
    }
    check_uri_reference(source)
}

/// The rule for text in attributes: no control characters.
pub(super) fn check_value(value: &str) -> Result<(), String> {
    match value.chars().find(|character| character.is_control()) {
        Some(character) => Err(format!(
            "has the control character U+{:04X}; allowed: printable characters",
            u32::from(character)
        )),
        None => Ok(()),
    }
}

/// RFC 3986, appendix A: the characters that a URI reference may have, and complete escapes.
fn check_uri_reference(text: &str) -> Result<(), String> {
    let allowed = "a URI reference (RFC 3986), other characters percent-encoded";
    if text.is_empty() {
        return Err(format!("is empty; allowed: {allowed}"));
    }
    let bytes = text.as_bytes();
    let right = bytes.iter().enumerate().all(|(at, byte)| match byte {
        b'%' => bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)),
        _ => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(byte),
    });
    if right { Ok(()) } else { Err(format!("{:?} is no URI reference; allowed: {allowed}", shorten(text))) }
}

/// W3C Trace Context, version 00: `00-<32 hex>-<16 hex>-<2 hex>`, in lower case, neither ID zero.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, span, flags] = parts[..] else { return false };
    let hex = |part: &str, len| {
        part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    version == "00" && hex(trace, 32) && hex(span, 16) && hex(flags, 2) && !zero(trace) && !zero(span)
}

fn specversion(text: &str) -> Result<(), String> {
    if text == "1.0" { Ok(()) } else { Err(format!("is {:?}; allowed: \"1.0\"", shorten(text))) }
}

fn text(value: Scalar<'_>) -> Result<String, String> {
    match value {
        Scalar::Text(text) => Ok(text.into_owned()),
        other => Err(other.refusal(Scalar::TEXT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_of_json_are_recognized() {
        for media_type in ["application/json", "Application/JSON; charset=utf-8", "text/json", "a/vnd.x+json"]
        {
            assert!(is_json_media_type(media_type), "{media_type}");
        }
        for media_type in
            ["", "json", "/json", "image/json", "a/+json", "text/plain", "application/json5", "/x+json"]
        {
            assert!(!is_json_media_type(media_type), "{media_type}");
        }
    }

    #[test]
    fn uri_references_are_told_from_other_text() {
        for text in
            ["/", "a", "/shop/7?x=[1]#y", "urn:uuid:6e8bc430", "https://e.example/%C3%A6", "//h:1", "?", "#"]
        {
            assert_eq!(check_uri_reference(text), Ok(()), "{text}");
        }
        for text in
            ["", " ", "/a b", "/æ", "/%", "/%4", "/%4g", "\"", "<a>", "a\\b", "a\n", "{x}", "`", "^", "|"]
        {
            assert!(check_uri_reference(text).is_err(), "{text}");
        }
        assert!(check_source(&"a".repeat(1_024)).is_ok());
        assert!(check_source(&"a".repeat(1_025)).is_err());
    }

    #[test]
    fn trace_parents_are_recognized() {
        assert!(is_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        for text in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert!(!is_traceparent(text), "{text}");
        }
    }

    #[test]
    fn names_of_extensions_are_short_and_plain() {
        for name in ["a", "0", "partitionkey", &"a".repeat(20)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "A", "a_b", "a-b", "æ", &"a".repeat(21)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
