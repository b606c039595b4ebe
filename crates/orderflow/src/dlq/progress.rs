//! Progress of a redrive or a purge on standard error: a bar on a terminal, a line now and then elsewhere.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use stream_core::BulkTotals;

use crate::output::news;

/// Time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
const BAR: &str = "{bar:30} {percent:>3}%  {msg}  {eta} left";

/// Shows how far a run is.
pub(super) struct Progress {
    bar: ProgressBar,
    verb: &'static str,
    last_line: Instant,
    /// What the run has said last.
    pub(super) totals: BulkTotals,
}

impl Progress {
    /// Of a run that will look at `total` dead letters or fewer.
    pub(super) fn new(verb: &'static str, total: u64) -> Self {
        let bar = if total > 1 && std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style)
        } else {
            ProgressBar::hidden()
        };
        Self { bar, verb, last_line: Instant::now(), totals: BulkTotals::default() }
    }

    pub(super) fn advance(&mut self, totals: &BulkTotals) {
        self.totals = *totals;
        let looked_at = totals.done
            + totals.absent
            + totals.payload_lost
            + totals.unreadable
            + totals.scanned.saturating_sub(totals.matched);
        if !self.bar.is_hidden() {
            self.bar.set_message(self.state());
            self.bar.set_position(looked_at);
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            news(self.state());
            self.last_line = Instant::now();
        }
    }

    fn state(&self) -> String {
        format!("{} {}", self.totals.done, self.verb)
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_valid() {
        ProgressStyle::with_template(BAR).unwrap();
    }
}
