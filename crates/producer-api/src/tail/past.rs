//! What a subscriber has missed, read from the stream in pages until the live feed holds the rest.

use std::collections::VecDeque;

use stream_core::{Entry, Error, EventStream, RangeQuery, StreamId};
use tokio::sync::Semaphore;

/// Entries of the first read, and of the largest. In between, as many as the last ones' size makes a page of.
const STEP_FIRST: usize = 16;
const STEP_MAX: usize = 64;
/// Bytes of entries that a subscriber holds: what a read brought beyond is read again later.
const HELD_BYTES: usize = 1024 * 1024;
/// Reads under way at once, of all subscribers: each may bring [`STEP_MAX`] entries of a megabyte.
const READS_MAX: usize = 4;

/// Reads the past for all subscribers.
#[derive(Debug)]
pub(super) struct Past {
    stream: EventStream,
    reads: Semaphore,
}

/// How far somebody has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bookmark {
    /// The last entry that was read.
    pub(super) after: StreamId,
    step: usize,
}

/// Some of the past.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) entries: VecDeque<Entry>,
    pub(super) rest: Bookmark,
    pub(super) missed: Option<Missed>,
}

/// What nobody can be given any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missed {
    /// Entries that came before this one may be gone.
    Trimmed { next: StreamId },
    /// All is gone, up to this ID.
    AllTrimmed { last: StreamId },
    /// The ID is higher than any that the stream has given; this is the highest.
    UnknownId { last: StreamId },
}

impl Bookmark {
    pub(super) const fn after(after: StreamId) -> Self {
        Self { after, step: STEP_FIRST }
    }
}

impl Past {
    /// Reads over the stream's connection.
    pub(super) const fn new(stream: EventStream) -> Self {
        Self { stream, reads: Semaphore::const_new(READS_MAX) }
    }

    /// The next entries after a bookmark.
    pub(super) async fn read(&self, mark: Bookmark) -> Result<Pages, Error> {
        let Bookmark { after, step } = mark;
        let mut entries = {
            // It is never closed.
            let _reading = self.reads.acquire().await;
            // With the entry itself: as long as it is there, nothing behind it was trimmed.
            let range = RangeQuery { start: after, ..RangeQuery::default() };
            VecDeque::from(self.stream.range(range, step + 1).await?.entries)
        };
        let missed = match entries.front() {
            Some(first) if first.id == after => {
                entries.pop_front();
                None
            }
            // The beginning of the stream, wherever that is.
            _ if after == StreamId::MIN => None,
            _ => self.missed(after).await?,
        };
        let mut bytes = 0;
        let mut kept = 0;
        for entry in &entries {
            kept += usize::from(bytes < HELD_BYTES);
            bytes += entry.fields.byte_len();
        }
        let mean = bytes / entries.len().max(1);
        entries.truncate(kept);
        let after = match (entries.back(), missed) {
            (Some(last), _) => last.id,
            (None, Some(Missed::AllTrimmed { last } | Missed::UnknownId { last })) => last,
            (None, _) => after,
        };
        let step = (HELD_BYTES / mean.max(1)).clamp(1, STEP_MAX);
        Ok(Pages { entries, rest: Bookmark { after, step }, missed })
    }

    /// What was removed of the stream after an ID that is not there. Trimming takes the oldest, so nothing was if there
    /// is an older entry; else more than the entry itself may be gone.
    async fn missed(&self, after: StreamId) -> Result<Option<Missed>, Error> {
        let info = self.stream.info().await?;
        let last = info.last_generated_id;
        Ok(match info.first_entry {
            _ if last < after => Some(Missed::UnknownId { last }),
            Some(first) => (first.id > after).then_some(Missed::Trimmed { next: first.id }),
            None => (last > after).then_some(Missed::AllTrimmed { last }),
        })
    }
}
