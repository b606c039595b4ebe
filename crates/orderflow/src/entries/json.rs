//! Entries as JSON without a loss: the order of the fields, repeated ones, and bytes that are not UTF-8.

use std::{collections::HashSet, str};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};
use stream_core::{Entry, Fields};

/// `{"id": …, "fields": …}`.
#[derive(Debug)]
pub(crate) struct EntryJson<'a>(pub(crate) &'a Entry);

impl Serialize for EntryJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(2))?;
        object.serialize_entry("id", &self.0.id)?;
        object.serialize_entry("fields", &FieldsJson(&self.0.fields))?;
        object.end()
    }
}

/// An object in the fields' order; an array of pairs where an object could not hold them.
#[derive(Debug)]
pub(crate) struct FieldsJson<'a>(pub(crate) &'a Fields);

impl Serialize for FieldsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(names) = object_names(self.0) else {
            let mut pairs = serializer.serialize_seq(Some(self.0.len()))?;
            for (name, value) in self.0.iter() {
                pairs.serialize_element(&[Text(name), Text(value)])?;
            }
            return pairs.end();
        };
        let mut object = serializer.serialize_map(Some(self.0.len()))?;
        for (name, (_, value)) in names.into_iter().zip(self.0.iter()) {
            object.serialize_entry(name, &Text(value))?;
        }
        object.end()
    }
}

/// The names as members of an object: all of them UTF-8, and none twice, which most readers would lose.
fn object_names(fields: &Fields) -> Option<Vec<&str>> {
    let mut seen = HashSet::with_capacity(fields.len());
    fields.iter().map(|(name, _)| str::from_utf8(name).ok().filter(|name| seen.insert(*name))).collect()
}

/// A string, or `{"base64": …}` for bytes that are not UTF-8.
struct Text<'a>(&'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = str::from_utf8(self.0) {
            return serializer.serialize_str(text);
        }
        let mut object = serializer.serialize_map(Some(1))?;
        object.serialize_entry("base64", &STANDARD.encode(self.0))?;
        object.end()
    }
}
