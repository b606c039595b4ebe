//! What recent deliveries were of: their entries, looked up once and remembered.

use std::collections::{BTreeMap, BTreeSet};

use stream_core::{Error, EventStream, StreamId};

use crate::entry_json::{EntryJson, value};

/// Entries that are remembered: the ten last ones of each of 200 consumers.
const REMEMBERED_MAX: usize = 2_000;
/// Entries looked up at a time, in one round trip; what is left is looked up the next time.
const LOOKED_UP_MAX: usize = 200;
/// Of an entry no more is kept than can be shown in a line.
const ENTRY_BYTES_MAX: usize = 512;

/// What is shown of an entry.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) event_type: Option<String>,
    pub(crate) entry: EntryJson,
}

/// Entries by ID; `None` for one that is not in the stream. Entries never change, so none is looked up twice.
#[derive(Debug, Default)]
pub(super) struct Recents(BTreeMap<StreamId, Option<Seen>>);

impl Recents {
    /// Looks up what is not remembered of `ids`, and forgets the oldest of what is.
    pub(super) async fn learn(
        &mut self,
        stream: &EventStream,
        ids: impl Iterator<Item = StreamId>,
    ) -> Result<(), Error> {
        let unknown: BTreeSet<_> = ids.filter(|id| !self.0.contains_key(id)).collect();
        // The newest first: they are looked at.
        let unknown: Vec<_> = unknown.into_iter().rev().take(LOOKED_UP_MAX).collect();
        for (id, entry) in unknown.iter().zip(stream.get_all(&unknown).await?) {
            let seen = entry.map(|entry| Seen {
                event_type: value(&entry.fields, "type"),
                entry: EntryJson::from(&entry).cut(ENTRY_BYTES_MAX),
            });
            self.0.insert(*id, seen);
        }
        while self.0.len() > REMEMBERED_MAX {
            self.0.pop_first();
        }
        Ok(())
    }

    pub(super) fn get(&self, id: &str) -> Option<&Seen> {
        self.0.get(&id.parse().ok()?)?.as_ref()
    }
}
