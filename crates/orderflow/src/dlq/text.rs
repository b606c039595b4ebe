//! A dead letter as JSON, and entries' text as it fits a table.

use std::time::UNIX_EPOCH;

use serde::{Serialize, Serializer, ser::SerializeMap};
use stream_core::{DeadLetter, Fields, StreamId, UnreadableDeadLetter};

use crate::output::printable;

/// A dead letter with its payload.
#[derive(Debug, Serialize)]
pub(super) struct LetterJson<'a> {
    id: StreamId,
    entry_id: StreamId,
    group: &'a str,
    consumer: &'a str,
    deliveries: u64,
    reason: &'a str,
    error: &'a str,
    time_ms: u64,
    redrives: u64,
    payload_lost: bool,
    fields: JsonFields<'a>,
}

impl<'a> From<&'a DeadLetter> for LetterJson<'a> {
    fn from(letter: &'a DeadLetter) -> Self {
        Self {
            id: letter.id,
            entry_id: letter.entry_id,
            group: &letter.group,
            consumer: &letter.consumer,
            deliveries: letter.deliveries,
            reason: &letter.reason,
            error: &letter.error,
            time_ms: time_ms(letter),
            redrives: letter.redrives,
            payload_lost: letter.payload_lost(),
            fields: JsonFields(&letter.fields),
        }
    }
}

/// Something among the dead letters that is none.
#[derive(Debug, Serialize)]
pub(super) struct UnreadableJson<'a> {
    id: StreamId,
    problem: &'a str,
    fields: JsonFields<'a>,
}

impl<'a> From<&'a UnreadableDeadLetter> for UnreadableJson<'a> {
    fn from(unreadable: &'a UnreadableDeadLetter) -> Self {
        let UnreadableDeadLetter { id, problem, fields } = unreadable;
        Self { id: *id, problem, fields: JsonFields(fields) }
    }
}

/// In their order, duplicates kept; bytes that are not UTF-8 become U+FFFD.
#[derive(Debug)]
struct JsonFields<'a>(&'a Fields);

impl Serialize for JsonFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0.iter() {
            object.serialize_entry(&String::from_utf8_lossy(name), &String::from_utf8_lossy(value))?;
        }
        object.end()
    }
}

/// The time of death in Unix milliseconds.
pub(super) fn time_ms(letter: &DeadLetter) -> u64 {
    letter.time.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

/// A field of an entry as it can be shown; `-` if there is none.
pub(super) fn field(fields: &Fields, name: &str) -> String {
    fields.get(name).map_or_else(|| "-".to_owned(), |value| printable(&String::from_utf8_lossy(value)))
}

/// At most so many characters, the last one an ellipsis if any were cut off.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(cut("ééé", 3), "ééé");
        assert_eq!(cut("éééé", 3), "éé…");
        assert_eq!(cut("éé", 0), "…");
    }
}
