//! [`DeadLetters`]: the entries that a group could not handle, to be looked at, sent back or purged.

mod bound;
mod bulk;
mod letter;
mod page;
mod redrive;
mod redrive_wide;

pub use bound::{BoundedDeadLetters, DeadLetterBounds};
pub use bulk::{Bulk, BulkEnd, BulkTotals};
pub use letter::{DeadLetter, UnreadableDeadLetter};
pub use page::{DeadLetterFilter, DeadLetterPage, DeadLetterQuery};
pub use redrive::RedriveOutcome;

use page::Chunk;

use super::{Direction, EventStream, RangeQuery};
use crate::{Error, StreamId};

/// Entries of a redrive stream that are looked at to find a dead letter's entry.
const WHEREABOUTS_SCAN_MAX: usize = 10_000;

/// The dead letters of one group. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    stream: EventStream,
    group: String,
    key: String,
}

/// Where the entry that a dead letter tells of can be found now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// Whether the original still is in the stream.
    pub in_stream: bool,
    /// Its entries in the group's redrive stream: it was sent back and is not settled yet.
    pub redriven_as: Vec<StreamId>,
    /// Whether the redrive stream was too long to be looked through, so that there may be more of them.
    pub redrives_unknown: bool,
}

impl EventStream {
    /// The dead letters of `group`. Nothing is sent yet.
    #[must_use]
    pub fn dead_letters(&self, group: &str) -> DeadLetters {
        DeadLetters { stream: self.clone(), group: group.to_owned(), key: self.key().dead_letters(group) }
    }
}

impl DeadLetters {
    /// The group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The number of dead letters (XLEN).
    pub async fn count(&self) -> Result<u64, Error> {
        self.stream.dead_letter_count(&self.group).await
    }

    /// The number of entries that were sent back to the group and are not settled yet (XLEN).
    pub async fn redriving(&self) -> Result<u64, Error> {
        let mut cmd = redis::cmd("XLEN");
        cmd.arg(self.stream.key().redrive(&self.group).as_str());
        self.stream.connection().query("XLEN redrive", &cmd).await
    }

    /// How many dead letters the bounds on them have ever dropped (see [`bound`](Self::bound)).
    pub async fn dropped(&self) -> Result<u64, Error> {
        let mut cmd = redis::cmd("GET");
        cmd.arg(self.stream.key().dead_letters_dropped(&self.group));
        let dropped: Option<u64> = self.stream.connection().query("GET dropped dead letters", &cmd).await?;
        Ok(dropped.unwrap_or(0))
    }

    /// The oldest and the newest dead letter's own ID.
    pub async fn ends(&self) -> Result<Option<(StreamId, StreamId)>, Error> {
        let (Some(oldest), Some(newest)) =
            (self.end(Direction::Forward).await?, self.end(Direction::Backward).await?)
        else {
            return Ok(None);
        };
        Ok(Some((oldest, newest)))
    }

    async fn end(&self, direction: Direction) -> Result<Option<StreamId>, Error> {
        let query = RangeQuery { direction, ..RangeQuery::default() };
        let page = self.stream.range_at(&self.key, query, 1).await?;
        Ok(page.entries.first().map(|entry| entry.id))
    }

    /// One dead letter by its own ID, whole; one that somebody else has written may be unreadable.
    pub async fn get(&self, id: StreamId) -> Result<Option<Result<DeadLetter, UnreadableDeadLetter>>, Error> {
        let query = RangeQuery { start: id, end: id, direction: Direction::Forward };
        let mut page = self.stream.range_at(&self.key, query, 1).await?;
        Ok(page.entries.pop().map(DeadLetter::parse))
    }

    /// Where the entry `entry_id` is besides the dead letters. Looks at no more than 10,000 entries of the redrive
    /// stream, which holds only what is not settled yet.
    pub async fn whereabouts(&self, entry_id: StreamId) -> Result<Whereabouts, Error> {
        let in_stream = self.stream.get(entry_id).await?.is_some();
        let redrive = self.stream.redrive(&self.group);
        let (mut redriven_as, mut scanned, mut chunk) = (Vec::new(), 0, Chunk::default());
        let mut rest = Some(RangeQuery::default());
        while let Some(query) = rest.filter(|_| scanned < WHEREABOUTS_SCAN_MAX) {
            let page = redrive.range(query, chunk.entries()).await?;
            chunk.learn(&page.entries);
            scanned += page.entries.len();
            let text = entry_id.to_string();
            let of_it = page.entries.iter().filter(|entry| {
                entry.fields.iter().next() == Some((b"_redrive_of".as_slice(), text.as_bytes()))
            });
            redriven_as.extend(of_it.map(|entry| entry.id));
            rest = page.next;
        }
        Ok(Whereabouts { in_stream, redriven_as, redrives_unknown: rest.is_some() })
    }

    /// Deletes dead letters by their own IDs (XDEL), for good. Returns how many of them there were.
    pub async fn purge(&self, ids: &[StreamId]) -> Result<u64, Error> {
        if ids.is_empty() {
            return Ok(0);
        }
        let mut cmd = redis::cmd("XDEL");
        cmd.arg(&self.key).arg(ids);
        self.stream.connection().query("XDEL", &cmd).await
    }
}
