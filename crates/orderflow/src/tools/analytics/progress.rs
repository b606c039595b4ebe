//! How far a rebuild is, on standard error: a bar on a terminal, a line now and then elsewhere.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use stream_core::{RebuildPhase, RebuildStatus};

use crate::output::{news, printable};

/// Time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// After that long without a worker it is worth a hint.
const HINT_AFTER: Duration = Duration::from_secs(10);
const BAR: &str = "{bar:30} {percent:>3}%  {msg}  {eta} left";

/// Shows what becomes of a rebuild.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
    last_line: Option<Instant>,
    hinted: bool,
    told: Option<String>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self {
            bar: bar.with_style(style),
            started: Instant::now(),
            last_line: None,
            hinted: false,
            told: None,
        }
    }

    pub(super) fn show(&mut self, status: &RebuildStatus) {
        if status.phase == RebuildPhase::Requested {
            self.show_waiting(status);
            return;
        }
        if !self.bar.is_hidden() {
            self.bar.set_length(status.total);
            self.bar.set_position(status.seen.min(status.total));
            self.bar.set_message(state(status));
        } else if self.last_line.is_none_or(|last| last.elapsed() >= LINE_INTERVAL) {
            news(state(status));
            self.last_line = Some(Instant::now());
        }
    }

    fn show_waiting(&mut self, status: &RebuildStatus) {
        // Each reason once.
        if status.message.is_some() && self.told != status.message {
            self.told.clone_from(&status.message);
            self.line(&printable(status.message.as_deref().unwrap_or_default()));
        } else if !self.hinted && self.started.elapsed() >= HINT_AFTER && status.message.is_none() {
            self.hinted = true;
            self.line("no analytics-worker has taken it up yet; is one running? Still waiting (Ctrl-C stops only the waiting)");
        }
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| news(text));
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn state(status: &RebuildStatus) -> String {
    match status.phase {
        RebuildPhase::Letters => "looking through the dead letters".to_owned(),
        _ => format!("{} of {} entries looked at, {} counted", status.seen, status.total, status.replayed),
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
