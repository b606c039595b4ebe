//! Progress of sending events.

use super::{source::Total, tally::Tally};
use crate::bar::Bar;

/// Shows how far it is.
#[derive(Debug)]
pub(super) struct Progress(Bar);

impl Progress {
    pub(super) fn new(total: Total) -> Self {
        Self(Bar::new(match total {
            Total::Events(total) | Total::Bytes(total) => Some(total),
            Total::Unknown => None,
        }))
    }

    /// Shows that `done` of the total is done.
    pub(super) fn advance(&mut self, done: u64, tally: &Tally) {
        let Tally { sent, rejected, .. } = tally;
        self.0.advance(done, format_args!("{sent} sent, {rejected} rejected, {} events/s", tally.rate()));
    }

    /// Writes a line without spoiling the bar.
    pub(super) fn line(&self, text: &str) {
        self.0.line(text);
    }

    pub(super) fn finish(&self) {
        self.0.finish();
    }
}
