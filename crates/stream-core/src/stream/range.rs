//! Replay: history by ID, forwards or backwards, in bounded pages or as a `Stream` (XRANGE, XREVRANGE).

use futures_util::{Stream, TryStreamExt, stream};

use super::EventStream;
use crate::{Entry, Error, StreamId, reply::EntriesReply};

/// Which way to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Oldest first (XRANGE).
    #[default]
    Forward,
    /// Newest first (XREVRANGE).
    Backward,
}

/// A stretch of history, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeQuery {
    /// The oldest ID wanted.
    pub start: StreamId,
    /// The newest ID wanted.
    pub end: StreamId,
    /// Which end to begin at.
    pub direction: Direction,
}

impl Default for RangeQuery {
    fn default() -> Self {
        Self { start: StreamId::MIN, end: StreamId::MAX, direction: Direction::Forward }
    }
}

/// One page of history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The entries, in the order asked for.
    pub entries: Vec<Entry>,
    /// The query for the rest, or `None` at the end.
    pub next: Option<RangeQuery>,
}

/// Entries that a range read as a `Stream` asks for at a time.
const STREAM_PAGE: usize = 500;

impl EventStream {
    /// One page of at most `count` entries. Moves no cursor and acks nothing.
    pub async fn range(&self, query: RangeQuery, count: usize) -> Result<Page, Error> {
        self.range_at(self.key.as_str(), query, count).await
    }

    /// One page of the stream at `key`, which is this one or one derived from it.
    pub(super) async fn range_at(&self, key: &str, query: RangeQuery, count: usize) -> Result<Page, Error> {
        let (command, from, to) = match query.direction {
            Direction::Forward => ("XRANGE", query.start, query.end),
            Direction::Backward => ("XREVRANGE", query.end, query.start),
        };
        let mut cmd = redis::cmd(command);
        cmd.arg(key).arg(from).arg(to).arg("COUNT").arg(count);
        let entries = self.connection.query::<EntriesReply>(command, &cmd).await?.entries;
        let full = entries.len() >= count;
        let next = entries.last().filter(|_| full).and_then(|last| query.after(last.id));
        Ok(Page { entries, next })
    }

    /// The whole range as a `Stream` of entries, read page by page as they are taken.
    pub fn range_stream(&self, query: RangeQuery) -> impl Stream<Item = Result<Entry, Error>> + '_ {
        stream::try_unfold(Some(query), async |query| {
            let Some(query) = query else { return Ok::<_, Error>(None) };
            let page = self.range(query, STREAM_PAGE).await?;
            Ok(Some((stream::iter(page.entries.into_iter().map(Ok)), page.next)))
        })
        .try_flatten()
    }

    /// One entry by its ID.
    pub async fn get(&self, id: StreamId) -> Result<Option<Entry>, Error> {
        let query = RangeQuery { start: id, end: id, direction: Direction::Forward };
        Ok(self.range(query, 1).await?.entries.pop())
    }

    /// The ID of the newest entry there is, `0-0` if there is none.
    pub(super) async fn last_id(&self) -> Result<StreamId, Error> {
        let query = RangeQuery { direction: Direction::Backward, ..RangeQuery::default() };
        let newest = self.range(query, 1).await?.entries.pop();
        Ok(newest.map_or(StreamId::MIN, |entry| entry.id))
    }
}

impl RangeQuery {
    /// What is left of the query after the entry `last`, if anything.
    pub fn after(self, last: StreamId) -> Option<Self> {
        let rest = match self.direction {
            Direction::Forward => Self { start: last.next()?, ..self },
            Direction::Backward => Self { end: last.prev()?, ..self },
        };
        (rest.start <= rest.end).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_query_excludes_what_was_read() {
        let query = RangeQuery { end: StreamId::new(9, 0), ..RangeQuery::default() };
        assert_eq!(query.after(StreamId::new(5, 0)).unwrap().start, StreamId::new(5, 1));
        assert_eq!(query.after(StreamId::new(9, 0)), None);
        let back = RangeQuery { direction: Direction::Backward, ..RangeQuery::default() };
        assert_eq!(back.after(StreamId::new(5, 0)).unwrap().end, StreamId::new(4, u64::MAX));
        assert_eq!(back.after(StreamId::MIN), None);
    }
}
