//! A dead letter as JSON, and entries' text as it fits a table.

use std::time::UNIX_EPOCH;

use serde::Serialize;
use stream_core::{DeadLetter, Fields, StreamId, UnreadableDeadLetter};

use crate::{entries::FieldsJson, output::printable};

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
    fields: FieldsJson<'a>,
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
            fields: FieldsJson(&letter.fields),
        }
    }
}

/// Something among the dead letters that is none.
#[derive(Debug, Serialize)]
pub(super) struct UnreadableJson<'a> {
    id: StreamId,
    problem: &'a str,
    fields: FieldsJson<'a>,
}

impl<'a> From<&'a UnreadableDeadLetter> for UnreadableJson<'a> {
    fn from(unreadable: &'a UnreadableDeadLetter) -> Self {
        let UnreadableDeadLetter { id, problem, fields } = unreadable;
        Self { id: *id, problem, fields: FieldsJson(fields) }
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
