//! Events that do not come from a file: from flags, or made up.

use order_events::sample::SampleEvents;
use serde::{Serializer, ser::SerializeMap};

use crate::durations;

/// A `--field`.
pub(super) fn parse_field(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("allowed: NAME=VALUE".to_owned()),
    }
}

/// A JSON object with these members, repeated ones included: the check is to find them.
pub(super) fn event<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> serde_json::Result<String> {
    let mut json = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut json);
    let mut object = serializer.serialize_map(None)?;
    for (name, value) in fields {
        object.serialize_entry(name, value)?;
    }
    object.end()?;
    Ok(String::from_utf8_lossy(&json).into_owned())
}

/// An endless row of made-up events of the four known types.
pub(super) fn random() -> impl FnMut() -> serde_json::Result<String> {
    let mut samples = SampleEvents::new(|| fastrand::u64(..));
    move || {
        let sample = samples.next_event(durations::now_ms());
        let fields: Vec<_> = sample.to_fields().collect();
        event(fields.iter().map(|(name, value)| (*name, value.as_ref())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_kept_as_they_were_given() {
        let fields = [("amount", "49.50"), ("note", "\"a\""), ("note", "b")];
        assert_eq!(event(fields).unwrap(), r#"{"amount":"49.50","note":"\"a\"","note":"b"}"#);
        assert_eq!(parse_field("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(parse_field("=x").is_err() && parse_field("x").is_err());
    }
}
