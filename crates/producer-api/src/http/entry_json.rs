//! Any entry as JSON, also one that another tool wrote.
//!
//! `{"id":"5-0","fields":{"type":"order.paid",…}}`, names in the entry's order. JSON text is Unicode and its
//! names are unique, an entry's need not be: what is not UTF-8 is shown with `U+FFFD` in its place, and the
//! entry marked `"lossy":true`; a name that is there more than once has an array of all its values, in order.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map},
};

use serde::{Serialize, Serializer, ser::SerializeMap};
use stream_core::Entry;

/// Serializes the entry it wraps.
pub(crate) struct EntryJson<'a>(pub(crate) &'a Entry);

impl Serialize for EntryJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = FieldsJson::of(self.0);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.0.id)?;
        if fields.lossy {
            map.serialize_entry("lossy", &true)?;
        }
        map.serialize_entry("fields", &fields)?;
        map.end()
    }
}

struct FieldsJson<'a> {
    fields: Vec<(Cow<'a, str>, Values<'a>)>,
    lossy: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Values<'a> {
    One(Cow<'a, str>),
    Many(Vec<Cow<'a, str>>),
}

impl<'a> FieldsJson<'a> {
    fn of(entry: &'a Entry) -> Self {
        let mut lossy = false;
        let mut text = |bytes: &'a [u8]| match String::from_utf8_lossy(bytes) {
            Cow::Owned(text) => {
                lossy = true;
                Cow::Owned(text)
            }
            exact @ Cow::Borrowed(_) => exact,
        };
        let mut fields: Vec<(Cow<'a, str>, Values<'a>)> = Vec::with_capacity(entry.fields.len());
        let mut places: HashMap<Cow<'a, str>, usize> = HashMap::with_capacity(entry.fields.len());
        for (name, value) in entry.fields.iter() {
            let (name, value) = (text(name), text(value));
            match places.entry(name) {
                hash_map::Entry::Occupied(place) => fields[*place.get()].1.push(value),
                hash_map::Entry::Vacant(place) => {
                    fields.push((place.key().clone(), Values::One(value)));
                    place.insert(fields.len() - 1);
                }
            }
        }
        Self { fields, lossy }
    }
}

impl<'a> Values<'a> {
    fn push(&mut self, value: Cow<'a, str>) {
        match self {
            Self::One(first) => *self = Self::Many(vec![std::mem::take(first), value]),
            Self::Many(values) => values.push(value),
        }
    }
}

impl Serialize for FieldsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.fields.iter().map(|(name, values)| (name, values)))
    }
}

#[cfg(test)]
mod tests {
    use stream_core::{Fields, StreamId};

    use super::*;

    fn json(pairs: &[(&'static [u8], &'static [u8])]) -> String {
        let fields = pairs.iter().copied().collect::<Fields>();
        serde_json::to_string(&EntryJson(&Entry { id: StreamId::new(5, 1), fields })).unwrap()
    }

    #[test]
    fn fields_keep_their_order() {
        assert_eq!(json(&[(b"b", b"1"), (b"a", b"")]), r#"{"id":"5-1","fields":{"b":"1","a":""}}"#);
    }

    #[test]
    fn repeated_names_have_all_their_values() {
        assert_eq!(
            json(&[(b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"a", b"1")]),
            r#"{"id":"5-1","fields":{"a":["1","3","1"],"b":"2"}}"#
        );
    }

    #[test]
    fn what_is_not_utf8_is_marked() {
        assert_eq!(
            json(&[(b"a", b"x\xff")]),
            "{\"id\":\"5-1\",\"lossy\":true,\"fields\":{\"a\":\"x\u{fffd}\"}}"
        );
        assert_eq!(
            json(&[(b"\xff", b"1"), (b"\xfe", b"2")]),
            "{\"id\":\"5-1\",\"lossy\":true,\"fields\":{\"\u{fffd}\":[\"1\",\"2\"]}}",
            "different names can look the same"
        );
    }
}
