//! The pipeline's own fields of an event: their names, and the one way to read and set them.

use crate::event::OrderEvent;

/// The producer's own ID of the event: what it sent as `id`.
pub const ID: &str = "_id";

/// Where the producer says that the event comes from, within which its ID is unique: a URI reference.
pub const SOURCE: &str = "_source";

/// The W3C trace context that the event was sent in.
pub const TRACEPARENT: &str = "_traceparent";

/// What vendors have to say about it.
pub const TRACESTATE: &str = "_tracestate";

/// What the names of fields begin with that hold a CloudEvents attribute which has no field of its own.
pub const ATTRIBUTE_PREFIX: &str = "_ce_";

impl OrderEvent {
    /// The value of one of the pipeline's own fields, such as [`ID`].
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.metadata.iter().find_map(|(known, value)| (known == name).then_some(value.as_str()))
    }

    /// Sets one of the pipeline's own fields, in place of the value it had.
    pub fn set_metadata(&mut self, name: &str, value: impl Into<String>) {
        debug_assert!(name.starts_with('_'), "{name} would be taken for a field of the producer's");
        match self.metadata.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value.into(),
            None => self.metadata.push((name.to_owned(), value.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventTypes, ParseContext, parse_event};

    #[test]
    fn a_field_is_there_once() {
        let json = r#"{"type":"order.paid","order_id":"o","customer":"c","amount":1}"#;
        let types = EventTypes::default();
        let mut event = parse_event(json, &ParseContext { types: &types, now_ms: 1 }).unwrap();
        assert_eq!(event.metadata(ID), None);
        event.set_metadata(ID, "a");
        event.set_metadata(SOURCE, "/s");
        event.set_metadata(ID, "b");
        assert_eq!((event.metadata(ID), event.metadata(SOURCE)), (Some("b"), Some("/s")));
        assert_eq!(event.metadata.len(), 2);
    }
}
