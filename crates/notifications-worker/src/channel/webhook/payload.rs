//! The body of a request.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::message::Message;

/// What is told of an event: `type`, `timestamp` and `data`, as Standard Webhooks recommends, and what it is about.
#[derive(Debug, Serialize)]
struct Payload<'a> {
    r#type: &'a str,
    timestamp: String,
    /// The entry's ID in the stream, the original one also when it was sent back.
    id: String,
    stream: &'a str,
    /// The notification, as people read it.
    text: &'a str,
    /// Every field of the entry but the pipeline's own, as text.
    data: BTreeMap<&'a str, &'a str>,
}

/// The message as JSON.
pub(super) fn body(message: &Message<'_>) -> Vec<u8> {
    let event = message.event;
    let timestamp = i64::try_from(event.ts_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let amount = event.amount.to_string();
    let fields = message.fields.iter().filter(|(name, _)| !name.starts_with(b"_"));
    // Checked when the event was read.
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    let mut data: BTreeMap<&str, &str> = fields.map(|(name, value)| (text(name), text(value))).collect();
    // Always with two decimals, whoever wrote the entry.
    data.insert("amount", &amount);
    let payload = Payload {
        r#type: event.event_type.as_str(),
        timestamp: timestamp.unwrap_or_default().to_string(),
        id: message.id.to_string(),
        stream: message.stream,
        text: &message.rendered.text,
        data,
    };
    serde_json::to_vec(&payload).expect("text can be written as JSON")
}

#[cfg(test)]
mod tests {
    use order_events::EventView;
    use serde_json::{Value, json};
    use stream_core::{Fields, StreamId};

    use super::*;
    use crate::message::Rendered;

    #[test]
    fn it_tells_what_the_entry_says() {
        let fields: Fields = [
            ("type", "order.paid"),
            ("order_id", "o-1"),
            ("customer", "Bob \"B\" \\"),
            ("amount", "49.5"),
            ("ts_ms", "1716998413541"),
            ("email", "bob@shop.example"),
            ("_source", "ours"),
        ]
        .into_iter()
        .collect();
        let event = EventView::from_fields(0, fields.iter()).unwrap();
        let rendered = Rendered { text: "Paid".to_owned(), ..Rendered::default() };
        let message = Message {
            id: StreamId::new(1_716_998_413_541, 2),
            stream: "events:orders",
            attempt: 1,
            event: &event,
            fields: &fields,
            rendered,
        };
        let told: Value = serde_json::from_slice(&body(&message)).unwrap();
        let expected = json!({
            "type": "order.paid", "timestamp": "2024-05-29T16:00:13.541Z", "id": "1716998413541-2",
            "stream": "events:orders", "text": "Paid",
            "data": {
                "type": "order.paid", "order_id": "o-1", "customer": "Bob \"B\" \\", "amount": "49.50",
                "ts_ms": "1716998413541", "email": "bob@shop.example",
            },
        });
        assert_eq!(told, expected);
    }
}
