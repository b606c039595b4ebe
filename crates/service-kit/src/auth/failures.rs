//! [`Failures`]: requests that were refused are counted, slowed down and logged, never with what they presented.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Attempts,
    metrics::{AuthMetrics, Reason},
};

/// How often one cause is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Who was refused. Locked only for those who are.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<Refused>);

#[derive(Debug, Default)]
struct Refused {
    attempts: Attempts,
    /// By [`Reason`].
    logged: [Logged; Reason::ALL.len()],
}

#[derive(Debug, Default, Clone, Copy)]
struct Logged {
    at: Option<Instant>,
    /// How many were not logged since.
    left_out: u64,
}

impl Failures {
    /// Something that nobody knows was presented: how long whoever it was must wait, if they have tried too often.
    pub(super) fn wrong(&self, from: Option<IpAddr>) -> Option<Duration> {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = refused.attempts.must_wait(from);
        if wait.is_none() {
            refused.attempts.wrong(from);
        }
        wait
    }

    /// Counts a refusal, and logs it unless one for the same reason was logged just now.
    pub(super) fn note(
        &self,
        metrics: &AuthMetrics,
        reason: Reason,
        from: Option<IpAddr>,
        key: Option<&str>,
    ) {
        metrics.failed(reason);
        let left_out = {
            let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let logged = &mut refused.logged[reason as usize];
            if logged.at.is_some_and(|at| at.elapsed() < LOG_INTERVAL) {
                logged.left_out += 1;
                return;
            }
            logged.at = Some(Instant::now());
            std::mem::take(&mut logged.left_out)
        };
        let from = from.map(tracing::field::display);
        tracing::warn!(reason = reason.label(), from, key, left_out, "a request was refused");
    }
}
