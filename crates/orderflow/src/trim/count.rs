//! Counts entries by reading them: Redis cannot say how many lie between two IDs.

use serde::Serialize;
use stream_core::{Direction, Error, EventStream, PendingFilter, RangeQuery, StreamId, StreamInfo};

use crate::{bar::Bar, entries::Pages, output};

/// A number of entries, as far as it was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Counted {
    /// So many, or at least so many.
    pub(super) count: u64,
    /// Whether there are no more.
    pub(super) exact: bool,
}

impl Counted {
    pub(super) const fn exact(count: u64) -> Self {
        Self { count, exact: true }
    }

    pub(super) fn exactly(self) -> Option<u64> {
        self.exact.then_some(self.count)
    }

    /// For a cell of a table.
    pub(super) fn short(self) -> String {
        format!("{}{}", self.count, if self.exact { "" } else { "+" })
    }

    /// For a sentence.
    pub(super) fn entries(self) -> String {
        format!("{}{}", if self.exact { "" } else { "at least " }, output::entries(self.count))
    }
}

/// Entries from `start` to `end`, as far as `count_max`.
pub(super) async fn entries(
    stream: &EventStream,
    start: StreamId,
    end: StreamId,
    count_max: u64,
) -> Result<Counted, Error> {
    let mut pages = Pages::new(stream, RangeQuery { start, end, direction: Direction::Forward });
    let mut count = 0;
    while count < count_max {
        match pages.next(count_max - count).await? {
            Some(page) => count += page.len() as u64,
            None => return Ok(Counted::exact(count)),
        }
    }
    Ok(Counted { count, exact: pages.next(1).await?.is_none() })
}

/// Entries from `start` to `end` that are pending in a group, as far as `count_max`.
pub(super) async fn pending(
    stream: &EventStream,
    group: &str,
    (start, end): (StreamId, StreamId),
    count_max: u64,
) -> Result<Counted, Error> {
    const PAGE: usize = 1_000;
    let mut count = 0;
    let mut rest = Some(start);
    while let Some(from) = rest.filter(|from| *from <= end) {
        if count >= count_max {
            return Ok(Counted { count, exact: false });
        }
        let filter = PendingFilter { start: from, end, count: PAGE, ..PendingFilter::default() };
        let rows = stream.pending(group, &filter).await?;
        count += rows.len() as u64;
        rest = rows.last().filter(|_| rows.len() == PAGE).and_then(|row| row.id.next());
    }
    Ok(Counted::exact(count))
}

/// The oldest of the newest `keep` entries: from whichever end it is nearer.
pub(super) async fn oldest_kept(
    stream: &EventStream,
    info: &StreamInfo,
    keep: u64,
) -> Result<StreamId, Error> {
    let Some(go) = info.length.checked_sub(keep).filter(|go| *go > 0) else { return Ok(StreamId::MIN) };
    if keep == 0 {
        return Ok(info.last_generated_id.next().unwrap_or(StreamId::MAX));
    }
    let newest = info.last_entry.as_ref().map_or(StreamId::MAX, |entry| entry.id);
    let range = RangeQuery { end: newest, ..RangeQuery::default() };
    if go < keep {
        let found = last_of(stream, range, go + 1).await?;
        let first = |info: &StreamInfo| info.first_entry.as_ref().map(|entry| entry.id);
        // What somebody else has trimmed meanwhile would be taken from what is to be kept.
        if first(info) == first(&stream.info().await?) {
            return Ok(found);
        }
    }
    last_of(stream, RangeQuery { direction: Direction::Backward, ..range }, keep).await
}

/// The last of so many entries of a range.
async fn last_of(stream: &EventStream, query: RangeQuery, count: u64) -> Result<StreamId, Error> {
    let mut progress = Bar::new(Some(count));
    let mut pages = Pages::new(stream, query);
    let (mut left, mut last) = (count, StreamId::MIN);
    while left > 0 {
        let Some(page) = pages.next(left).await? else { break };
        left -= page.len() as u64;
        last = page.last().map_or(last, |entry| entry.id);
        progress.advance(count - left, "looking for the oldest entry to keep");
    }
    progress.finish();
    Ok(last)
}

#[cfg(test)]
mod tests {
    use stream_core::{ConnectSettings, Connector, Precision, StreamKey};
    use testkit::RedisServer;

    use super::*;

    #[tokio::test]
    async fn what_is_trimmed_meanwhile_is_not_taken_from_what_is_kept() {
        let server = RedisServer::start().await;
        let settings = ConnectSettings { url: server.url(), ..ConnectSettings::default() };
        let connection = Connector::new(settings).unwrap().commands().unwrap();
        let stream = EventStream::new(connection, StreamKey::new(server.unique_stream("orders")).unwrap());
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(stream.append([("a", "b")]).await.unwrap());
        }
        let info = stream.info().await.unwrap();
        stream.trim_before(ids[4], Precision::Exact).await.unwrap();
        assert_eq!(oldest_kept(&stream, &info, 14).await.unwrap(), ids[6]);
        let info = stream.info().await.unwrap();
        assert_eq!(oldest_kept(&stream, &info, 14).await.unwrap(), ids[6]);
        assert_eq!(oldest_kept(&stream, &info, 1).await.unwrap(), ids[19]);
    }
}
