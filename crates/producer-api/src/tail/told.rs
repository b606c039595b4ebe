//! [`Told`]: an entry as it is told to every subscriber, made once.

use bytes::Bytes;
use stream_core::Entry;

use super::frames;
use crate::{filter::EventFilter, http::EntryJson};

/// The text of the event, and what filters look at.
#[derive(Debug)]
pub(super) struct Told {
    event_type: Option<Box<[u8]>>,
    order_id: Option<Box<[u8]>>,
    pub(super) frame: Bytes,
}

impl Told {
    pub(super) fn of(entry: &Entry) -> Self {
        let value = |name| entry.fields.get(name).map(Box::from);
        Self { event_type: value("type"), order_id: value("order_id"), frame: frame(entry) }
    }

    pub(super) fn fits(&self, filter: &EventFilter) -> bool {
        filter.fits_values(self.event_type.as_deref(), self.order_id.as_deref())
    }
}

/// The event's text.
pub(super) fn frame(entry: &Entry) -> Bytes {
    // Strings under strings always serialize.
    let json = serde_json::to_string(&EntryJson(entry)).unwrap_or_default();
    frames::event(entry.id, &json)
}

#[cfg(test)]
mod tests {
    use stream_core::StreamId;

    use super::*;

    #[test]
    fn no_value_breaks_the_lines_of_an_event() {
        let pairs = [("a\nb", "x\r\ny\rz\n\ndata: {}\n\n"), ("type", "\u{2028}\u{85}\0")];
        let entry = Entry { id: StreamId::new(5, 1), fields: pairs.into_iter().collect() };
        let frame = String::from_utf8(frame(&entry).to_vec()).unwrap();
        let (line, rest) = frame.strip_prefix("id: 5-1\ndata: ").unwrap().split_once('\n').unwrap();
        assert_eq!((rest, line.contains('\r')), ("\n", false), "{frame:?}");
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(json["fields"]["a\nb"], pairs[0].1);
        assert_eq!(json["fields"]["type"], pairs[1].1);
    }
}
