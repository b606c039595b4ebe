//! [`Tally`]: entries that a step meets with page by page, told in one line.

use stream_core::StreamId;

/// Tells at the end of the step how many there were and which was the first, if there were any; also where the round is
/// dropped before.
#[derive(Debug)]
pub(crate) struct Tally<F: Fn(usize, StreamId)> {
    count: usize,
    first: Option<StreamId>,
    tell: F,
}

impl<F: Fn(usize, StreamId)> Tally<F> {
    pub(crate) const fn new(tell: F) -> Self {
        Self { count: 0, first: None, tell }
    }

    pub(crate) fn add(&mut self, ids: &[StreamId]) {
        self.count += ids.len();
        self.first = self.first.or_else(|| ids.first().copied());
    }
}

impl<F: Fn(usize, StreamId)> Drop for Tally<F> {
    fn drop(&mut self) {
        if let Some(first) = self.first {
            (self.tell)(self.count, first);
        }
    }
}
