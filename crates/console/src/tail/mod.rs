//! The live tail as the console tells it: entries as JSON, cut where they are long.

mod filter;

pub(crate) use filter::Filter;
use stream_core::{Entry, Feed};

use crate::entry_json::EntryJson;

/// Of an entry no more bytes are sent, and compared with filters.
const ENTRY_BYTES_MAX: usize = 64 * 1024;

/// The feed that all who listen share.
pub(crate) type Tails = Feed<Told>;

/// An entry, made once for everybody.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) entry: EntryJson,
    /// The same as JSON.
    pub(crate) json: String,
}

impl Told {
    /// What is told of an entry, and how many bytes that is.
    pub(crate) fn of(entry: &Entry) -> (Self, usize) {
        let entry = EntryJson::from(entry).cut(ENTRY_BYTES_MAX);
        // A struct of strings always serializes.
        let json = serde_json::to_string(&entry).unwrap_or_default();
        let bytes = 2 * json.len();
        (Self { entry, json }, bytes)
    }
}
