//! Failures of what is repeated every interval: all counted, but logged once a series and then now and then.

use std::{
    collections::HashMap,
    fmt::{self, Display},
    time::Duration,
};

use prometheus::{IntCounter, Registry};
use tokio::time::Instant;

/// How often a series that lasts is logged again.
const LOG_INTERVAL: Duration = Duration::from_secs(30);
/// Steps that fail together mostly have one cause: their lines come one at a time.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// Something that is repeated every interval and can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    HoldRole,
    ReadRegistry,
    Sweep,
    Retire,
    BoundDeadLetters,
    Trim,
    Observe,
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HoldRole => "taking or renewing the active role",
            Self::ReadRegistry => "reading the registry of workers",
            Self::Sweep => "sweeping",
            Self::Retire => "retiring dead consumers",
            Self::BoundDeadLetters => "bounding dead letters",
            Self::Trim => "retention",
            Self::Observe => "observing groups",
        })
    }
}

/// The failing steps, each with its series of failures.
#[derive(Debug)]
pub(crate) struct Failures {
    errors: IntCounter,
    series: HashMap<Step, Series>,
    last_line: Option<Instant>,
}

#[derive(Debug)]
struct Series {
    since: Instant,
    logged: Option<Instant>,
    failures: u64,
    /// Whether it went on since the step was last [finished](Failures::finished).
    goes_on: bool,
}

/// A series, as it is logged.
#[derive(Debug, PartialEq, Eq)]
struct Report {
    failures: u64,
    seconds: u64,
}

impl Failures {
    /// Registers the counter of all failures.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let errors = IntCounter::new(
            "reaper_errors_total",
            "Steps that failed, taking or renewing the role among them; the next round repeats them",
        )?;
        registry.register(Box::new(errors.clone()))?;
        Ok(Self { errors, series: HashMap::new(), last_line: None })
    }

    /// Series of another owner's steps, counted together with these.
    pub(crate) fn sharing_counter(&self) -> Self {
        Self { errors: self.errors.clone(), series: HashMap::new(), last_line: None }
    }

    /// Counts a failure of `step`, in the group it was done for if any, and logs it unless the series was
    /// logged a short time ago.
    pub(crate) fn failed(&mut self, step: Step, group: Option<&str>, error: &dyn Display) {
        self.errors.inc();
        match self.note(step, Instant::now()) {
            Some(Report { failures: 1, .. }) => {
                tracing::warn!(%step, group, %error, "a step failed; it is repeated every round");
            }
            Some(Report { failures, seconds }) => {
                tracing::warn!(%step, group, %error, failures, seconds, "a step still fails");
            }
            None => {}
        }
    }

    /// What there is to log about a failure at this moment.
    fn note(&mut self, step: Step, now: Instant) -> Option<Report> {
        let new = Series { since: now, logged: None, failures: 0, goes_on: true };
        let series = self.series.entry(step).or_insert(new);
        series.failures += 1;
        series.goes_on = true;
        let within = |last: Option<Instant>, interval| {
            last.is_some_and(|at| now.saturating_duration_since(at) < interval)
        };
        if within(series.logged, LOG_INTERVAL) || within(self.last_line, LINE_INTERVAL) {
            return None;
        }
        series.logged = Some(now);
        self.last_line = Some(now);
        Some(Report { failures: series.failures, seconds: (now - series.since).as_secs() })
    }

    /// The step was done, for all groups: a series that did not go on this time is over.
    pub(crate) fn finished(&mut self, step: Step) {
        let Some(series) = self.series.get_mut(&step) else { return };
        if std::mem::take(&mut series.goes_on) {
            return;
        }
        let (failures, seconds) = (series.failures, series.since.elapsed().as_secs());
        let was_logged = series.logged.is_some();
        self.series.remove(&step);
        if was_logged {
            tracing::info!(%step, failures, seconds, "a step that had failed works again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_logged_at_first_and_then_every_half_minute() {
        let mut failures = Failures::register(&Registry::new()).unwrap();
        let start = Instant::now();
        let reports: Vec<_> = (0..40)
            .filter_map(|round| failures.note(Step::Sweep, start + Duration::from_secs(2) * round))
            .map(|report| (report.failures, report.seconds))
            .collect();
        assert_eq!(reports, [(1, 0), (16, 30), (31, 60)]);
    }

    #[test]
    fn steps_that_fail_together_are_logged_one_at_a_time() {
        let mut failures = Failures::register(&Registry::new()).unwrap();
        let (start, ms) = (Instant::now(), Duration::from_millis);
        assert!(failures.note(Step::Sweep, start).is_some());
        assert!(failures.note(Step::Retire, start + ms(1)).is_none());
        assert!(failures.note(Step::Trim, start + ms(999)).is_none());
        let late = failures.note(Step::Retire, start + ms(1_500)).map(|report| report.failures);
        assert_eq!(late, Some(2), "its first line was held back");
    }

    #[test]
    fn a_series_ends_only_when_no_group_failed() {
        let mut failures = Failures::register(&Registry::new()).unwrap();
        failures.failed(Step::Retire, Some("one of many"), &"no");
        failures.finished(Step::Retire);
        assert!(failures.series.contains_key(&Step::Retire));
        failures.finished(Step::Retire);
        assert!(failures.series.is_empty());
        assert_eq!(failures.errors.get(), 1);
    }
}
