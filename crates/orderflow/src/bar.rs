//! How far something is, on standard error: a bar on a terminal, a line now and then elsewhere.

use std::{
    fmt,
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::news;

/// Time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
const BAR: &str = "{bar:30} {percent:>3}%  {msg}  {eta} left";
const SPINNER: &str = "{spinner} {msg}";

/// A bar, or what stands for it.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: ProgressBar,
    last_line: Instant,
}

impl Bar {
    /// Of something that is done when `total` is reached; `None` if that is not known.
    pub(crate) fn new(total: Option<u64>) -> Self {
        let bar = match total {
            _ if !std::io::stderr().is_terminal() => ProgressBar::hidden(),
            // One step is done before a bar could be read.
            Some(0 | 1) => ProgressBar::hidden(),
            Some(total) => ProgressBar::new(total).with_style(style(BAR)),
            None => ProgressBar::new_spinner().with_style(style(SPINNER)),
        };
        Self { bar, last_line: Instant::now() }
    }

    /// Shows that it has come to `position`.
    pub(crate) fn advance(&mut self, position: u64, state: impl fmt::Display) {
        if !self.bar.is_hidden() {
            self.bar.set_message(state.to_string());
            self.bar.set_position(position);
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            news(state);
            self.last_line = Instant::now();
        }
    }

    /// Writes a line without spoiling the bar.
    pub(crate) fn line(&self, text: impl fmt::Display) {
        self.bar.suspend(|| news(text));
    }

    pub(crate) fn finish(&self) {
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
