//! An entry as JSON: its fields as pairs, in order, duplicates kept; what is not UTF-8 becomes U+FFFD.

use serde::Serialize;
use stream_core::{Entry, Fields};
use utoipa::ToSchema;

/// An entry of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct EntryJson {
    /// Its ID.
    pub(crate) id: String,
    /// Its fields as pairs of name and value, in their order.
    #[schema(value_type = Vec<Vec<String>>)]
    pub(crate) fields: Vec<(String, String)>,
}

impl From<&Entry> for EntryJson {
    fn from(entry: &Entry) -> Self {
        Self { id: entry.id.to_string(), fields: pairs(&entry.fields) }
    }
}

/// Fields as pairs of text.
pub(crate) fn pairs(fields: &Fields) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// The value of the first field of a name, as text.
pub(crate) fn value(fields: &Fields, name: &str) -> Option<String> {
    fields.get(name).map(text)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl EntryJson {
    /// The entry with no more than `bytes_max` of names and values, for where many are shown that nobody asked for. A
    /// value that was cut ends with an ellipsis.
    pub(crate) fn cut(mut self, bytes_max: usize) -> Self {
        let mut left = bytes_max;
        let mut kept = 0;
        for (name, value) in &mut self.fields {
            if left == 0 {
                break;
            }
            for text in [name, value] {
                if text.len() > left {
                    text.truncate(text.floor_char_boundary(left));
                    text.push('…');
                    left = 0;
                } else {
                    left -= text.len();
                }
            }
            kept += 1;
        }
        self.fields.truncate(kept);
        self
    }
}

#[cfg(test)]
mod tests {
    use stream_core::StreamId;

    use super::*;

    fn entry(pairs: &[(&'static [u8], &'static [u8])]) -> EntryJson {
        EntryJson::from(&Entry { id: StreamId::new(5, 1), fields: pairs.iter().copied().collect() })
    }

    #[test]
    fn order_and_duplicates_survive_and_odd_bytes_are_shown() {
        let json = serde_json::to_string(&entry(&[(b"b", b"1"), (b"a", b"\xff"), (b"b", b"<x>")])).unwrap();
        assert_eq!(json, "{\"id\":\"5-1\",\"fields\":[[\"b\",\"1\"],[\"a\",\"\u{fffd}\"],[\"b\",\"<x>\"]]}");
    }

    #[test]
    fn long_entries_are_cut_and_say_so() {
        let cut = entry(&[(b"a", b"12"), (b"b", "äöü".as_bytes()), (b"c", b"3")]).cut(7);
        assert_eq!(cut.fields, [("a".to_owned(), "12".to_owned()), ("b".to_owned(), "ä…".to_owned())]);
        let whole = entry(&[(b"a", b"12")]);
        assert_eq!(whole.clone().cut(3), whole);
    }
}
