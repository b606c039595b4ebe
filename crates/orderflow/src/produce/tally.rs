//! What became of all events, in numbers, and the exit code that follows.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use super::{EXIT_REJECTED, EXIT_UNKNOWN};

/// Counts of events by what became of them.
#[derive(Debug)]
pub(super) struct Tally {
    started: Instant,
    took: Duration,
    pub(super) sent: u64,
    pub(super) rejected: u64,
    pub(super) unknown: u64,
    /// Whether something else than the events themselves stopped it.
    pub(super) refused: bool,
    pub(super) last_id: Option<String>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            took: Duration::ZERO,
            sent: 0,
            rejected: 0,
            unknown: 0,
            refused: false,
            last_id: None,
        }
    }

    /// Stops the clock.
    pub(super) fn finish(&mut self) {
        self.took = self.started.elapsed();
    }

    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// Events stored each second so far.
    pub(super) fn rate(&self) -> u64 {
        let took = if self.took.is_zero() { self.started.elapsed() } else { self.took };
        (self.sent as f64 / took.as_secs_f64().max(0.001)).round() as u64
    }

    pub(super) fn summary(&self) -> String {
        let Self { sent, rejected, unknown, took, .. } = self;
        let unknown = if *unknown > 0 { format!("{unknown} unknown, ") } else { String::new() };
        let rate = self.rate();
        format!("{sent} sent, {rejected} rejected, {unknown}{:.1} s, {rate} events/s", took.as_secs_f64())
    }

    /// For scripts.
    pub(super) fn json(&self) -> serde_json::Value {
        let Self { sent, rejected, unknown, took, last_id, .. } = self;
        serde_json::json!({
            "sent": sent, "rejected": rejected, "unknown": unknown, "seconds": took.as_secs_f64(),
            "last_id": last_id,
        })
    }

    /// The gravest comes first: what may have been stored needs somebody to look.
    pub(super) fn exit_code(&self) -> ExitCode {
        if self.unknown > 0 {
            ExitCode::from(EXIT_UNKNOWN)
        } else if self.refused {
            ExitCode::FAILURE
        } else if self.rejected > 0 {
            ExitCode::from(EXIT_REJECTED)
        } else {
            ExitCode::SUCCESS
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_and_the_gravest_decides() {
        let mut tally = Tally::new();
        (tally.sent, tally.took) = (1_000, Duration::from_secs(2));
        assert_eq!(tally.summary(), "1000 sent, 0 rejected, 2.0 s, 500 events/s");
        assert_eq!(tally.exit_code(), ExitCode::SUCCESS);
        tally.rejected = 1;
        assert_eq!(tally.exit_code(), ExitCode::from(EXIT_REJECTED));
        tally.refused = true;
        assert_eq!(tally.exit_code(), ExitCode::FAILURE);
        tally.unknown = 3;
        assert_eq!(tally.exit_code(), ExitCode::from(EXIT_UNKNOWN));
        assert_eq!(tally.summary(), "1000 sent, 1 rejected, 3 unknown, 2.0 s, 500 events/s");
    }
}
