//! The text of server-sent events (WHATWG HTML, §9.2): what is told to a subscriber, and when.
//!
//! Every value is on one line: IDs are numbers, and JSON has no line breaks but those that are part of a text, as `\n`.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use stream_core::StreamId;

use super::past::Missed;

/// How long a client waits before it connects again.
const RETRY: Duration = Duration::from_secs(2);

/// The first lines: when to come back, and from where on, should the connection break before the first event.
pub(super) fn opening(position: Option<StreamId>) -> Bytes {
    let mut frame = format!("retry: {}\n", RETRY.as_millis());
    push_id(&mut frame, position);
    finish(frame)
}

/// An event of the stream; it has the name that `EventSource` calls `message`.
pub(super) fn event(id: StreamId, json: &str) -> Bytes {
    debug_assert!(!json.contains(['\r', '\n']), "JSON is written on one line");
    finish(format!("id: {id}\ndata: {json}\n"))
}

/// A comment, so that both ends notice a broken connection; with the position, if the client does not know it: it moves
/// also past events that do not fit the filter.
pub(super) fn heartbeat(position: Option<StreamId>) -> Bytes {
    let mut frame = ": heartbeat\n".to_owned();
    push_id(&mut frame, position);
    finish(frame)
}

/// The subscriber was too slow. It can go on after what it got, with another connection.
pub(super) fn overrun(position: Option<StreamId>) -> Bytes {
    let position = position.map(|id| id.to_string());
    named("overrun", None, &json!({ "last_event_id": position }))
}

/// Events after `after` were removed before the subscriber got them, or nobody knows this ID.
pub(super) fn gap(after: StreamId, missed: Missed) -> Bytes {
    let (reason, next, position) = match missed {
        Missed::Trimmed { next } => ("trimmed", Some(next), None),
        Missed::AllTrimmed { last } => ("trimmed", None, Some(last)),
        Missed::UnknownId { last } => ("unknown-id", None, Some(last)),
    };
    let next = next.map(|id| id.to_string());
    named("gap", position, &json!({ "reason": reason, "after": after.to_string(), "next": next }))
}

fn named(name: &str, position: Option<StreamId>, data: &Value) -> Bytes {
    let mut frame = format!("event: {name}\n");
    push_id(&mut frame, position);
    // Writing to a String cannot fail.
    _ = writeln!(frame, "data: {data}");
    finish(frame)
}

fn push_id(frame: &mut String, id: Option<StreamId>) {
    if let Some(id) = id {
        _ = writeln!(frame, "id: {id}");
    }
}

fn finish(mut frame: String) -> Bytes {
    frame.push('\n');
    frame.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_as_the_standard_has_them() {
        let id = StreamId::new(5, 1);
        assert_eq!(opening(None), "retry: 2000\n\n");
        assert_eq!(opening(Some(id)), "retry: 2000\nid: 5-1\n\n");
        assert_eq!(event(id, "{}"), "id: 5-1\ndata: {}\n\n");
        assert_eq!(heartbeat(None), ": heartbeat\n\n");
        assert_eq!(heartbeat(Some(id)), ": heartbeat\nid: 5-1\n\n");
        assert_eq!(overrun(Some(id)), "event: overrun\ndata: {\"last_event_id\":\"5-1\"}\n\n");
        assert_eq!(
            gap(id, Missed::Trimmed { next: StreamId::new(9, 0) }),
            "event: gap\ndata: {\"after\":\"5-1\",\"next\":\"9-0\",\"reason\":\"trimmed\"}\n\n"
        );
        assert_eq!(
            gap(id, Missed::UnknownId { last: StreamId::new(3, 0) }),
            "event: gap\nid: 3-0\ndata: {\"after\":\"5-1\",\"next\":null,\"reason\":\"unknown-id\"}\n\n"
        );
    }
}
