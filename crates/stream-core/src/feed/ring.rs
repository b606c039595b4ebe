//! What a feed has read lately: bounded in number and in bytes, whoever may not have heard it yet.

use std::{collections::VecDeque, sync::Arc};

use super::{FeedBounds, News};
use crate::StreamId;

/// The newest news, oldest first. Each has a number: listeners remember the number of what they hear next.
#[derive(Debug)]
pub(super) struct Ring<T> {
    items: VecDeque<Item<T>>,
    /// The number of the first item, or of the next one if there is none.
    first: u64,
    bytes: usize,
    bounds: FeedBounds,
    /// All that was added after this entry, up to `last`, is among the items; unknown until the stream's end was found.
    since: Option<StreamId>,
    /// The newest entry that was read.
    last: StreamId,
}

#[derive(Debug)]
struct Item<T> {
    news: News<T>,
    bytes: usize,
    /// The newest entry that was read up to here, this one included.
    last: StreamId,
}

/// What there is under a number.
#[derive(Debug)]
pub(super) enum Looked<T> {
    News(News<T>),
    /// It had to go, and so many with it.
    Gone(u64),
    /// Nothing yet.
    Nothing,
}

impl<T> Ring<T> {
    pub(super) fn new(bounds: FeedBounds) -> Self {
        Self { items: VecDeque::new(), first: 0, bytes: 0, bounds, since: None, last: StreamId::MIN }
    }

    /// The stream's end was found: what comes now is what was added after `last`.
    pub(super) fn begin(&mut self, last: StreamId) {
        (self.since, self.last) = (Some(last), last);
    }

    pub(super) fn push_entry(&mut self, id: StreamId, made: T, bytes: usize) {
        self.last = id;
        self.push(News::Entry(id, Arc::new(made)), bytes);
    }

    pub(super) fn push(&mut self, news: News<T>, bytes: usize) {
        self.items.push_back(Item { news, bytes, last: self.last });
        self.bytes += bytes;
        // The newest one stays however large it is.
        while self.items.len() > self.bounds.entries.max(1)
            || (self.bytes > self.bounds.bytes && self.items.len() > 1)
        {
            let Some(gone) = self.items.pop_front() else { break };
            self.first += 1;
            self.bytes -= gone.bytes;
            self.since = self.since.map(|_| gone.last);
        }
    }

    pub(super) fn look(&self, number: u64) -> Looked<T> {
        let Some(at) = number.checked_sub(self.first) else { return Looked::Gone(self.first - number) };
        match self.items.get(at as usize) {
            Some(item) => Looked::News(item.news.clone()),
            None => Looked::Nothing,
        }
    }

    /// The number of what comes next.
    pub(super) fn end(&self) -> u64 {
        self.first + self.items.len() as u64
    }

    /// The number of the first that is still there.
    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    /// The newest entry that was read, or the one that the stream ended with before; unknown at first.
    pub(super) fn last(&self) -> Option<StreamId> {
        self.since.map(|_| self.last)
    }

    /// The number of the first news after the entry `id`, if nothing that was added after it is gone.
    pub(super) fn number_after(&self, id: StreamId) -> Option<u64> {
        let since = self.since?;
        (since <= id).then(|| self.first + self.items.partition_point(|item| item.last <= id) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(entries: usize, bytes: usize) -> Ring<u64> {
        let mut ring = Ring::new(FeedBounds { entries, bytes });
        ring.begin(id(0));
        ring
    }

    fn id(ms: u64) -> StreamId {
        StreamId::new(ms, 0)
    }

    fn ids(ring: &Ring<u64>, from: u64) -> Vec<u64> {
        (from..ring.end())
            .filter_map(|number| match ring.look(number) {
                Looked::News(News::Entry(id, _)) => Some(id.ms),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn it_keeps_the_newest_within_both_bounds() {
        let mut few = ring(3, 1_000);
        let mut small = ring(100, 25);
        for n in 1..=5 {
            few.push_entry(id(n), n, 10);
            small.push_entry(id(n), n, 10);
        }
        assert_eq!((ids(&few, few.first()), few.bytes), (vec![3, 4, 5], 30));
        assert_eq!((ids(&small, small.first()), small.bytes), (vec![4, 5], 20));
        assert!(matches!(few.look(0), Looked::Gone(2)));
        assert!(matches!(few.look(5), Looked::Nothing));
        small.push_entry(id(6), 6, 1_000);
        assert_eq!(ids(&small, small.first()), [6], "one that is too large is there all the same");
    }

    #[test]
    fn whoever_knows_an_entry_goes_on_after_it_or_learns_that_something_is_gone() {
        let mut ring = ring(3, 1_000);
        assert_eq!(ring.number_after(id(0)), Some(0));
        for n in [2, 4, 6] {
            ring.push_entry(id(n), n, 1);
        }
        ring.push(News::Back, 0);
        assert_eq!(ring.number_after(id(1)), None, "the entry 2 is gone");
        assert_eq!(ids(&ring, ring.number_after(id(2)).unwrap()), [4, 6]);
        assert_eq!(ids(&ring, ring.number_after(id(5)).unwrap()), [6]);
        assert_eq!(
            ring.number_after(id(6)),
            Some(ring.end()),
            "what is no entry and came before is not repeated"
        );
        assert_eq!(ring.number_after(id(99)), Some(ring.end()));
    }

    #[test]
    fn before_the_end_of_the_stream_was_found_nothing_is_known() {
        let mut ring = Ring::<u64>::new(FeedBounds { entries: 2, bytes: 10 });
        ring.push(News::Away("gone".into()), 0);
        assert_eq!((ring.last(), ring.number_after(id(5))), (None, None));
        ring.begin(id(7));
        assert_eq!((ring.last(), ring.number_after(id(7))), (Some(id(7)), Some(ring.end())));
        assert_eq!(ring.number_after(id(6)), None);
    }
}
