//! Progress on standard error: a bar on a terminal, a line now and then elsewhere.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{source::Total, tally::Tally};
use crate::output::news;

/// Time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
const BAR: &str = "{bar:30} {percent:>3}%  {msg}  {eta} left";
const SPINNER: &str = "{spinner} {msg}";

/// Shows how far it is.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    last_line: Instant,
}

impl Progress {
    pub(super) fn new(total: Total) -> Self {
        // One event is sent before a bar could be read.
        let bar = match total {
            _ if !std::io::stderr().is_terminal() => ProgressBar::hidden(),
            Total::Events(0 | 1) => ProgressBar::hidden(),
            Total::Events(total) | Total::Bytes(total) => ProgressBar::new(total).with_style(style(BAR)),
            Total::Unknown => ProgressBar::new_spinner().with_style(style(SPINNER)),
        };
        Self { bar, last_line: Instant::now() }
    }

    /// Shows that `done` of the total is done.
    pub(super) fn advance(&mut self, done: u64, tally: &Tally) {
        let state = || format!("{} sent, {} rejected, {} events/s", tally.sent, tally.rejected, tally.rate());
        if !self.bar.is_hidden() {
            self.bar.set_message(state());
            self.bar.set_position(done);
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            news(state());
            self.last_line = Instant::now();
        }
    }

    /// Writes a line without spoiling the bar.
    pub(super) fn line(&self, text: &str) {
        self.bar.suspend(|| news(text));
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        for template in [BAR, SPINNER] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
