//! [`Record`]: an entry read back from JSON, byte for byte what was written.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use stream_core::{Fields, StreamId};

/// An entry as a file keeps it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The ID that it had; it is not given again.
    pub(crate) id: Option<StreamId>,
    pub(crate) fields: Fields,
}

/// The same before it was looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordJson {
    id: Option<String>,
    fields: Pairs,
}

impl Record {
    /// Reads one line; the error says what is wrong with it.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        let RecordJson { id, fields: Pairs(pairs) } = serde_json::from_slice(line).map_err(|error| {
            // The parser counts lines within the text: it would name line 1 of a file's line 17.
            let text = error.to_string();
            let message = text.split(" at line ").next().unwrap_or_default();
            format!("{message} at column {}", error.column())
        })?;
        if pairs.is_empty() {
            return Err("fields is empty; an entry has at least one".to_owned());
        }
        let id = id.map(|id| id.parse().map_err(|error| format!("id: {error}"))).transpose()?;
        Ok(Self { id, fields: pairs.into_iter().collect() })
    }
}

/// Fields as an object or as an array of pairs.
struct Pairs(Vec<(Vec<u8>, Vec<u8>)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of fields or an array of [name, value]")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some((name, Bytes(value))) = members.next_entry::<String, Bytes>()? {
            pairs.push((name.into_bytes(), value));
        }
        Ok(Pairs(pairs))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some((Bytes(name), Bytes(value))) = items.next_element()? {
            pairs.push((name, value));
        }
        Ok(Pairs(pairs))
    }
}

/// A string, or `{"base64": …}`.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BytesVisitor)
    }
}

struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or {\"base64\": …}")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        Ok(Bytes(text.as_bytes().to_vec()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Bytes, A::Error> {
        let only = |member: Option<String>| match member.as_deref() {
            Some("base64") => Ok(()),
            _ => Err(A::Error::custom("expected the one member base64")),
        };
        only(members.next_key()?)?;
        let text: String = members.next_value()?;
        if members.next_key::<String>()?.is_some() {
            only(None)?;
        }
        let bytes = STANDARD.decode(text).map_err(|error| A::Error::custom(format!("base64: {error}")))?;
        Ok(Bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use stream_core::Entry;

    use super::*;
    use crate::entries::EntryJson;

    type Pair = (&'static [u8], &'static [u8]);

    fn json(pairs: &[Pair]) -> (Entry, String) {
        let fields = pairs.iter().copied().collect();
        let entry = Entry { id: StreamId::new(7, 1), fields };
        let json = serde_json::to_string(&EntryJson(&entry)).unwrap();
        (entry, json)
    }

    #[test]
    fn whatever_an_entry_holds_comes_back() {
        let cases: [(&[Pair], &str); 4] = [
            (&[(b"b", b"1"), (b"a", b"two\n")], r#"{"b":"1","a":"two\n"}"#),
            (&[(b"b", b"1"), (b"a", b""), (b"b", b"2")], r#"[["b","1"],["a",""],["b","2"]]"#),
            (&[(b"a", b"\xff\x00")], r#"{"a":{"base64":"/wA="}}"#),
            (&[(b"\xff", b"{}"), (b"", b"x")], r#"[[{"base64":"/w=="},"{}"],["","x"]]"#),
        ];
        for (pairs, fields) in cases {
            let (entry, json) = json(pairs);
            assert_eq!(json, format!(r#"{{"id":"7-1","fields":{fields}}}"#));
            let record = Record::parse(json.as_bytes()).unwrap();
            assert_eq!(record, Record { id: Some(entry.id), fields: entry.fields });
        }
    }

    #[test]
    fn repeated_members_of_an_object_are_kept() {
        let record = Record::parse(br#"{"fields":{"a":"1","a":"2"}}"#).unwrap();
        assert_eq!((record.id, record.fields.len()), (None, 2));
    }

    #[test]
    fn what_is_no_entry_is_told() {
        for (line, problem) in [
            (&b"{}"[..], "missing field `fields` at column 2"),
            (br#"{"fields":{}}"#, "fields is empty; an entry has at least one"),
            (
                br#"{"fields":{"a":1}}"#,
                "invalid type: integer `1`, expected a string or {\"base64\": …} at column 16",
            ),
            (br#"{"fields":{"a":{"base64":"x"}}}"#, "base64: "),
            (br#"{"fields":{"a":{"hex":"x"}}}"#, "expected the one member base64"),
            (br#"{"fields":{"a":{"base64":"eA==","b":"x"}}}"#, "expected the one member base64"),
            (br#"{"fields":{"a":"b"},"id":"x"}"#, "id: \"x\" is not a stream ID"),
            (br#"{"type":"order.paid"}"#, "unknown field `type`"),
            (b"{\"fields\":{\"a\":\"\xff\"}}", "invalid unicode code point"),
            (b"[", "EOF while parsing"),
        ] {
            let told = Record::parse(line).unwrap_err();
            assert!(told.starts_with(problem), "{told}");
        }
    }
}
