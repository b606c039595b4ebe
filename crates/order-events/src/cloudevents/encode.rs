//! From an entry to a CloudEvent.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use super::{
    attributes::{check_name, check_source, check_value},
    time,
};
use crate::{decode_error::DecodeError, event::OrderEvent, metadata, text::check_text};

/// The extension attribute that holds the entry's ID. Ignored in what producers send.
pub const ENTRY_ID: &str = "entryid";

/// The type under which an entry is shown that is no order event.
pub const UNREADABLE_TYPE: &str = "orderflow.unreadable-entry";

/// What the envelope says itself: no attribute of an entry may stand in for it.
const OURS: [&str; 9] =
    ["specversion", "id", "source", "type", "time", "datacontenttype", ENTRY_ID, "data", "traceparent"];

/// An entry in the JSON format of CloudEvents 1.0; [`Serialize`] writes it.
///
/// `id` is the producer's own (`_id`), else the entry's; `source` the producer's (`_source`), else a default;
/// `subject` the order; `data` every field but `type` and `ts_ms`, all of them text, the amount with two decimals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvent {
    /// In the order in which they are written.
    attributes: Vec<(String, String)>,
    data: Data,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Data {
    Fields(Vec<(String, String)>),
    Shown(Value),
}

impl CloudEvent {
    /// The event that an entry holds. `entry_ms` is the milliseconds part of `entry_id`.
    ///
    /// An error means that the entry is no order event: see [`unreadable`](Self::unreadable).
    pub fn of_entry<'a>(
        entry_id: &str,
        entry_ms: u64,
        default_source: &str,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Self, DecodeError> {
        let event = OrderEvent::from_fields(entry_ms, fields)?;
        let id = event.metadata(metadata::ID).filter(|id| check_text(id).is_ok()).unwrap_or(entry_id);
        let source = event.metadata(metadata::SOURCE).filter(|source| check_source(source).is_ok());
        let subject = event.metadata("_ce_subject").filter(|subject| is_subject(subject));
        let mut attributes = head(id, source.unwrap_or(default_source), event.event_type.as_str());
        push(&mut attributes, "subject", subject.unwrap_or(&event.order_id));
        if let Some(time) = time::format(event.ts_ms) {
            push(&mut attributes, "time", &time);
        }
        push(&mut attributes, "datacontenttype", "application/json");
        push(&mut attributes, ENTRY_ID, entry_id);
        let traceparent = event.metadata(metadata::TRACEPARENT).filter(|value| check_value(value).is_ok());
        if let Some(value) = traceparent.or_else(|| event.metadata("_ce_traceparent")) {
            push(&mut attributes, "traceparent", value);
        }
        for (field, value) in &event.metadata {
            let Some(name) = field.strip_prefix(metadata::ATTRIBUTE_PREFIX) else { continue };
            let ours = OURS.contains(&name) || name == "subject";
            if !ours && check_name(name).is_ok() && check_value(value).is_ok() {
                push(&mut attributes, name, value);
            }
        }
        let amount = event.amount.to_string();
        let mut data = Vec::with_capacity(3 + event.extra.len());
        for (name, value) in [("order_id", event.order_id), ("customer", event.customer), ("amount", amount)]
        {
            data.push((name.to_owned(), value));
        }
        data.extend(event.extra);
        Ok(Self { attributes, data: Data::Fields(data) })
    }

    /// An entry that is no order event: of the type [`UNREADABLE_TYPE`], with what can be shown of it as data.
    pub fn unreadable(entry_id: &str, entry_ms: u64, default_source: &str, shown: Value) -> Self {
        let mut attributes = head(entry_id, default_source, UNREADABLE_TYPE);
        if let Some(time) = time::format(entry_ms) {
            push(&mut attributes, "time", &time);
        }
        push(&mut attributes, "datacontenttype", "application/json");
        push(&mut attributes, ENTRY_ID, entry_id);
        Self { attributes, data: Data::Shown(shown) }
    }
}

fn head(id: &str, source: &str, event_type: &str) -> Vec<(String, String)> {
    let mut attributes = Vec::with_capacity(8);
    for (name, value) in [("specversion", "1.0"), ("id", id), ("source", source), ("type", event_type)] {
        push(&mut attributes, name, value);
    }
    attributes
}

fn push(attributes: &mut Vec<(String, String)>, name: &str, value: &str) {
    attributes.push((name.to_owned(), value.to_owned()));
}

fn is_subject(subject: &str) -> bool {
    !subject.is_empty() && check_value(subject).is_ok()
}

impl Serialize for CloudEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.attributes.len() + 1))?;
        for (name, value) in &self.attributes {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("data", &self.data)?;
        map.end()
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fields(fields) => serializer.collect_map(fields.iter().map(|(name, value)| (name, value))),
            Self::Shown(shown) => shown.serialize(serializer),
        }
    }
}
