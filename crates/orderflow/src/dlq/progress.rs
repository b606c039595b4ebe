//! Progress of a redrive or a purge.

use stream_core::BulkTotals;

use crate::bar::Bar;

/// Shows how far a run is.
pub(super) struct Progress {
    bar: Bar,
    verb: &'static str,
    /// What the run has said last.
    pub(super) totals: BulkTotals,
}

impl Progress {
    /// Of a run that will look at `total` dead letters or fewer.
    pub(super) fn new(verb: &'static str, total: u64) -> Self {
        Self { bar: Bar::new(Some(total)), verb, totals: BulkTotals::default() }
    }

    pub(super) fn advance(&mut self, totals: &BulkTotals) {
        self.totals = *totals;
        let looked_at = totals.done
            + totals.absent
            + totals.payload_lost
            + totals.unreadable
            + totals.scanned.saturating_sub(totals.matched);
        self.bar.advance(looked_at, format_args!("{} {}", totals.done, self.verb));
    }

    pub(super) fn finish(&self) {
        self.bar.finish();
    }
}
