//! [`WorkerHealth`]: what a worker fails to do at present, and which causes were logged lately.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::failures::Throttle;
use crate::{Error, ErrorKind};

/// One cause is logged at most this often, however many consumers meet it.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Whether a worker's consumers can read and settle. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct WorkerHealth(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Failing operations in the order in which they began to fail.
    failing: BTreeMap<u64, Symptom>,
    begun: u64,
    /// An operation and its kind of failure, or `None` for its recovery; both are closed sets.
    logged: HashMap<(&'static str, Option<ErrorKind>), Instant>,
    /// What happens to entries, which come by the thousand.
    repeated: HashMap<Repeated, Throttle>,
}

/// What repeats, and why: a closed set.
pub(super) type Repeated = (&'static str, &'static str);

#[derive(Debug)]
struct Symptom {
    doing: &'static str,
    since: Instant,
    error: String,
}

impl WorkerHealth {
    /// What has failed without a success for longer than `patience`: reading, acking, dead-lettering or committing,
    /// with the last error. `None` while everything works, or may soon.
    pub fn failing(&self, patience: Duration) -> Option<String> {
        let state = self.state();
        let symptom = state.failing.values().find(|symptom| symptom.since.elapsed() > patience)?;
        Some(format!("{} keeps failing: {}", symptom.doing, symptom.error))
    }

    /// An operation has begun to fail; until what is returned is dropped, it does.
    pub(super) fn begin(&self, doing: &'static str) -> Failing {
        let mut state = self.state();
        state.begun += 1;
        let number = state.begun;
        state.failing.insert(number, Symptom { doing, since: Instant::now(), error: String::new() });
        Failing { health: self.clone(), number }
    }

    /// Whether a line about this cause may be logged now.
    pub(super) fn may_log(&self, doing: &'static str, kind: Option<ErrorKind>, now: Instant) -> bool {
        let mut state = self.state();
        let last = state.logged.get(&(doing, kind));
        if last.is_some_and(|last| now.saturating_duration_since(*last) < LOG_INTERVAL) {
            return false;
        }
        state.logged.insert((doing, kind), now);
        true
    }

    /// Whether a line may be logged now about this having happened `count` times: how often it has happened since the
    /// last one, these not included.
    pub(super) fn may_repeat(&self, what: Repeated, count: u64, now: Instant) -> Option<u64> {
        let mut state = self.state();
        let throttle = state.repeated.entry(what).or_insert_with(|| Throttle::new(LOG_INTERVAL));
        throttle.admit_many(now, count)
    }

    /// Logs how much was left out of the log and is told by no later line so far. The end of the worker is always due.
    pub(super) fn tell_left_out(&self, group: &str, is_end: bool) {
        let now = if is_end { Instant::now() + LOG_INTERVAL } else { Instant::now() };
        for ((what, why), throttle) in &mut self.state().repeated {
            if let Some(suppressed) = throttle.left_out(now) {
                tracing::warn!(group, suppressed, "{what}: {why}: more of the same");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An operation that fails. Dropped when it has succeeded, or is not wanted any more.
#[derive(Debug)]
pub(super) struct Failing {
    health: WorkerHealth,
    number: u64,
}

impl Failing {
    /// Notes the last error.
    pub(super) fn because(&self, error: &Error) {
        if let Some(symptom) = self.health.state().failing.get_mut(&self.number) {
            symptom.error = error.to_string();
        }
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.health.state().failing.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_shown_until_its_series_ends() {
        let health = WorkerHealth::default();
        let (reading, acking) = (health.begin("reading"), health.begin("acking"));
        assert_eq!(health.failing(Duration::from_mins(1)), None, "it may work again soon");
        assert!(health.failing(Duration::ZERO).unwrap().starts_with("reading keeps failing"));
        drop(reading);
        assert!(health.failing(Duration::ZERO).unwrap().starts_with("acking keeps failing"));
        drop(acking);
        assert_eq!(health.failing(Duration::ZERO), None);
    }

    #[test]
    fn one_cause_is_logged_once_a_second_whoever_meets_it() {
        let (health, start) = (WorkerHealth::default(), Instant::now());
        let log = |doing, kind, ms| health.may_log(doing, kind, start + Duration::from_millis(ms));
        let (loading, timeout) = (Some(ErrorKind::Loading), Some(ErrorKind::Timeout));
        assert!(log("reading", loading, 0));
        assert!(!log("reading", loading, 900));
        assert!(log("reading", timeout, 900) && log("acking", loading, 900) && log("reading", None, 900));
        assert!(log("reading", loading, 1_000));
    }
}
