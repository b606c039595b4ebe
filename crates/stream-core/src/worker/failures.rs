//! What repeats is logged at intervals: failures that last, retries that come by the thousand.

use std::time::Duration;

use tokio::time::Instant;

use super::health::{Failing, WorkerHealth};
use crate::Error;

/// How often a failure that lasts is logged again.
const FAILING_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Lets one line an interval through and counts the others.
#[derive(Debug)]
pub(super) struct Throttle {
    interval: Duration,
    last: Option<Instant>,
    suppressed: u64,
}

impl Throttle {
    pub(super) const fn new(interval: Duration) -> Self {
        Self { interval, last: None, suppressed: 0 }
    }

    /// Whether to log now: the number of lines suppressed since the last one.
    pub(super) fn admit(&mut self, now: Instant) -> Option<u64> {
        self.admit_many(now, 1)
    }

    /// The same for a line that would tell of so many.
    pub(super) fn admit_many(&mut self, now: Instant, count: u64) -> Option<u64> {
        if !self.is_due(now) {
            self.suppressed += count;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }

    /// What was suppressed and would be told by the next line, once that line is due: it may never come.
    pub(super) fn left_out(&mut self, now: Instant) -> Option<u64> {
        if self.suppressed == 0 || !self.is_due(now) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }

    fn is_due(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.saturating_duration_since(last) >= self.interval)
    }
}

/// A series of failures of one operation: the first is worth a line, then one every ten seconds, then its end.
#[derive(Debug)]
pub(super) struct Failures {
    attempts: u64,
    throttle: Throttle,
    /// Makes the failing operation visible in the worker's health until the series ends.
    failing: Option<Failing>,
}

impl Default for Failures {
    fn default() -> Self {
        Self { attempts: 0, throttle: Throttle::new(FAILING_LOG_INTERVAL), failing: None }
    }
}

impl Failures {
    /// Counts a failure. The number of failed attempts so far, if it is to be logged.
    pub(super) fn failed(&mut self, now: Instant) -> Option<u64> {
        self.attempts += 1;
        self.throttle.admit(now).map(|_| self.attempts)
    }

    /// Shows the failure in the worker's health: without this operation it does not do what it is for.
    pub(super) fn show(&mut self, health: &WorkerHealth, doing: &'static str, error: &Error) {
        self.failing.get_or_insert_with(|| health.begin(doing)).because(error);
    }

    /// Ends the series. The number of attempts that failed, if any did.
    pub(super) fn recovered(&mut self) -> Option<u64> {
        let attempts = std::mem::take(self).attempts;
        (attempts > 0).then_some(attempts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasting_failure_is_logged_every_ten_seconds_and_at_its_end() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        let logged: Vec<u64> =
            (0..25).filter_map(|second| failures.failed(start + Duration::from_secs(second))).collect();
        assert_eq!(logged, [1, 11, 21]);
        assert_eq!((failures.recovered(), failures.recovered()), (Some(25), None));
        assert_eq!(failures.failed(start), Some(1), "a new series");
    }

    #[test]
    fn a_throttle_tells_how_much_it_held_back() {
        let (mut throttle, start) = (Throttle::new(Duration::from_secs(1)), Instant::now());
        let mut at = |ms| throttle.admit(start + Duration::from_millis(ms));
        assert_eq!([at(0), at(1), at(999), at(1_000), at(2_500)], [Some(0), None, None, Some(2), Some(0)]);
        assert_eq!([at(2_501), at(2_502)], [None, None]);
        let mut left_out = |ms| throttle.left_out(start + Duration::from_millis(ms));
        assert_eq!([left_out(2_600), left_out(3_500), left_out(9_000)], [None, Some(2), None]);
    }
}
