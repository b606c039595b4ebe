//! [`Memory`]: what this process knows of entries that it tries again.
//!
//! Marks in Redis say what was accepted, for every process. This says two things more, for as long as this process waits
//! with an entry: what was accepted although its mark could not be written, and what was refused for good, which must
//! not be asked for again each time that another channel is tried.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use stream_core::StreamId;

/// Entries that are remembered at most; the oldest are forgotten first, which costs another attempt.
const ENTRIES_MAX: usize = 20_000;

/// What came of one target of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The other side has accepted.
    Sent,
    /// It will not.
    Refused(String),
}

/// Settled targets of entries that are not settled as a whole, by the target's mark.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<BTreeMap<StreamId, HashMap<String, Settled>>>);

impl Memory {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// What is known of an entry; it is forgotten until it is noted again.
    pub(crate) fn take(&self, id: StreamId) -> HashMap<String, Settled> {
        self.lock().remove(&id).unwrap_or_default()
    }

    /// Remembers what is known of an entry that is tried again.
    pub(crate) fn note(&self, id: StreamId, known: HashMap<String, Settled>) {
        if known.is_empty() {
            return;
        }
        let mut entries = self.lock();
        entries.insert(id, known);
        while entries.len() > ENTRIES_MAX {
            entries.pop_first();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<StreamId, HashMap<String, Settled>>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_first() {
        let memory = Memory::new();
        for ms in 0..=ENTRIES_MAX as u64 {
            memory.note(StreamId::new(ms, 0), [("smtp".to_owned(), Settled::Sent)].into());
        }
        assert!(memory.take(StreamId::new(0, 0)).is_empty());
        assert_eq!(memory.take(StreamId::new(1, 0))["smtp"], Settled::Sent);
        assert!(memory.take(StreamId::new(1, 0)).is_empty(), "it was taken");
    }
}
