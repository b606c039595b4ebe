//! The outline of a body: which members and elements there are, their text untouched.
//!
//! Numbers stay text here, so nothing ever becomes a float; names that occur twice are both kept, so that
//! they can be refused; and what exceeds a limit is counted, not stored.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::limits::{MAX_BATCH_EVENTS, MAX_FIELDS};

/// A JSON object's members in order.
pub(crate) struct RawObject<'a> {
    /// Name and value of the first [`MAX_FIELDS`] members, as JSON text.
    pub(crate) members: Vec<(&'a RawValue, &'a RawValue)>,
    /// How many members there are, repeated ones included.
    pub(crate) total: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = RawObject<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = RawObject { members: Vec::with_capacity(8), total: 0 };
        while object.members.len() < MAX_FIELDS {
            let Some(member) = map.next_entry()? else { return Ok(object) };
            object.members.push(member);
            object.total += 1;
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            object.total += 1;
        }
        Ok(object)
    }
}

/// A JSON array's elements in order.
pub(crate) struct RawBatch<'a> {
    /// The first [`MAX_BATCH_EVENTS`] elements, as JSON text.
    pub(crate) elements: Vec<&'a RawValue>,
    /// How many elements there are.
    pub(crate) total: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for RawBatch<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BatchVisitor)
    }
}

struct BatchVisitor;

impl<'de> Visitor<'de> for BatchVisitor {
    type Value = RawBatch<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut batch = RawBatch { elements: Vec::new(), total: 0 };
        while batch.elements.len() < MAX_BATCH_EVENTS {
            let Some(element) = seq.next_element()? else { return Ok(batch) };
            batch.elements.push(element);
            batch.total += 1;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            batch.total += 1;
        }
        Ok(batch)
    }
}
