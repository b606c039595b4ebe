//! Listing dead letters: filters, and pages that end however little fits.

use super::{DeadLetter, DeadLetters, UnreadableDeadLetter};
use crate::{DeadReason, Entry, Error, RangeQuery, StreamId};

/// Which dead letters. Everything that is set must fit; nothing set fits all, the unreadable included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeadLetterFilter {
    /// Those that died for this reason.
    pub reason: Option<DeadReason>,
    /// Those of this entry of the stream.
    pub entry_id: Option<StreamId>,
    /// Those whose original has these values, each in the first field of its name.
    pub fields: Vec<(String, String)>,
}

impl DeadLetterFilter {
    /// Whether it fits every dead letter.
    pub const fn is_empty(&self) -> bool {
        self.reason.is_none() && self.entry_id.is_none() && self.fields.is_empty()
    }

    fn fits(&self, letter: &DeadLetter) -> bool {
        self.reason.is_none_or(|reason| letter.died_of(reason))
            && self.entry_id.is_none_or(|id| letter.entry_id == id)
            && self.fields.iter().all(|(name, value)| letter.fields.get(name) == Some(value.as_bytes()))
    }
}

/// What to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterQuery {
    /// Which of them.
    pub filter: DeadLetterFilter,
    /// Their own IDs, whose milliseconds are the time of death, and which end to begin at.
    pub range: RangeQuery,
    /// At most so many of them.
    pub limit: usize,
    /// Look at no more than so many dead letters to find them.
    pub scan_max: usize,
}

impl Default for DeadLetterQuery {
    fn default() -> Self {
        Self {
            filter: DeadLetterFilter::default(),
            range: RangeQuery::default(),
            limit: 100,
            scan_max: 10_000,
        }
    }
}

/// One page of dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeadLetterPage {
    /// Those that fit, in the order asked for.
    pub letters: Vec<DeadLetter>,
    /// What cannot be read; only with an empty filter, which fits it too.
    pub unreadable: Vec<UnreadableDeadLetter>,
    /// How many were looked at.
    pub scanned: usize,
    /// Where to go on; `None` at the end.
    pub next: Option<RangeQuery>,
    /// Whether it ended before the limit because of `scan_max`, or because what it holds is large.
    pub stopped_early: bool,
}

/// A page holds at most this much payload, and one dead letter more.
const PAGE_BYTES_MAX: usize = 16 << 20;

impl DeadLetters {
    /// One page. Moves nothing and acks nothing.
    pub async fn page(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, Error> {
        let mut page = DeadLetterPage::default();
        let (mut bytes, mut chunk) = (0, Chunk::default());
        let mut rest = Some(query.range);
        while let Some(range) = rest {
            page.stopped_early = page.scanned >= query.scan_max || bytes >= PAGE_BYTES_MAX;
            if page.stopped_early {
                page.next = rest;
                break;
            }
            let count = chunk.entries().min(query.scan_max - page.scanned);
            let found = self.stream.range_at(&self.key, range, count).await?;
            chunk.learn(&found.entries);
            rest = found.next;
            let last = found.entries.last().map(|entry| entry.id);
            for entry in found.entries {
                let (id, size) = (entry.id, entry.fields.byte_len());
                page.scanned += 1;
                match DeadLetter::parse(entry) {
                    Ok(letter) if query.filter.fits(&letter) => page.letters.push(letter),
                    Err(unreadable) if query.filter.is_empty() => page.unreadable.push(unreadable),
                    _ => continue,
                }
                bytes += size;
                let full = page.letters.len() + page.unreadable.len() >= query.limit;
                if full || bytes >= PAGE_BYTES_MAX {
                    page.next = if Some(id) == last { rest } else { range.after(id) };
                    page.stopped_early = !full && page.next.is_some();
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }
}

/// How many entries to ask for at a time: many small ones, few large ones.
#[derive(Debug)]
pub(super) struct Chunk(usize);

/// Small ones say nothing about those that come after them, of up to a megabyte each and more.
const CHUNK_ENTRIES_MAX: usize = 64;
const CHUNK_BYTES: usize = 4 << 20;

impl Default for Chunk {
    fn default() -> Self {
        Self(50)
    }
}

impl Chunk {
    pub(super) const fn entries(&self) -> usize {
        self.0
    }

    /// Adapts to the size of what came.
    pub(super) fn learn(&mut self, entries: &[Entry]) {
        let bytes: usize = entries.iter().map(|entry| entry.fields.byte_len()).sum();
        self.0 = match bytes {
            CHUNK_BYTES.. => (self.0 / 4).max(1),
            _ => (self.0 * 2).min(CHUNK_ENTRIES_MAX),
        };
    }
}
