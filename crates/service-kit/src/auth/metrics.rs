//! What is counted of keys. Labels are the configured keys' names and closed sets.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector};

/// What counts as the caller where no key is asked for.
pub(super) const ANONYMOUS: &str = "anonymous";

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Missing,
    Malformed,
    Unknown,
    Expired,
    Scope,
    Slowed,
}

impl Reason {
    pub(super) const ALL: [Self; 6] =
        [Self::Missing, Self::Malformed, Self::Unknown, Self::Expired, Self::Scope, Self::Slowed];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Scope => "scope",
            Self::Slowed => "slowed",
        }
    }
}

/// The metrics.
#[derive(Debug)]
pub(super) struct AuthMetrics {
    failures: [IntCounter; Reason::ALL.len()],
    requests: IntCounterVec,
    limited: IntCounterVec,
    keys: IntGauge,
    stale: IntGauge,
}

impl AuthMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let failures = IntCounterVec::new(
            Opts::new(
                "auth_failures_total",
                "Requests refused for their key or token, or for having none, by reason",
            ),
            &["reason"],
        )?;
        let requests = IntCounterVec::new(
            Opts::new(
                "auth_requests_total",
                "Requests let in, by the name of their key; anonymous: no key was asked for",
            ),
            &["key"],
        )?;
        let limited = IntCounterVec::new(
            Opts::new(
                "auth_rate_limited_total",
                "Requests and events refused by a rate limit, by the name of their key",
            ),
            &["key"],
        )?;
        let keys = IntGauge::new("auth_keys", "API keys that are known; 0: none is asked for")?;
        let stale = IntGauge::new(
            "auth_keys_file_stale",
            "1 while auth.keys_file cannot be used and the keys of before are in effect",
        )?;
        let collectors: [Box<dyn Collector>; 5] = [
            Box::new(failures.clone()),
            Box::new(requests.clone()),
            Box::new(limited.clone()),
            Box::new(keys.clone()),
            Box::new(stale.clone()),
        ];
        collectors.into_iter().try_for_each(|collector| registry.register(collector))?;
        let failures = Reason::ALL.map(|reason| failures.with_label_values(&[reason.label()]));
        Ok(Self { failures, requests, limited, keys, stale })
    }

    pub(super) fn failed(&self, reason: Reason) {
        self.failures[reason as usize].inc();
    }

    /// Counts the requests with a key of this name.
    pub(super) fn requests(&self, id: &str) -> IntCounter {
        self.requests.with_label_values(&[id])
    }

    /// Counts what is refused to a key of this name.
    pub(super) fn limited(&self, id: &str) -> IntCounter {
        self.limited.with_label_values(&[id])
    }

    /// There is no key of this name any more.
    pub(super) fn forget(&self, id: &str) {
        // It fails only if there is no such series.
        _ = self.requests.remove_label_values(&[id]);
        _ = self.limited.remove_label_values(&[id]);
    }

    pub(super) fn known(&self, keys: usize) {
        self.keys.set(keys as i64);
    }

    pub(super) fn stale(&self, is_stale: bool) {
        self.stale.set(is_stale.into());
    }
}
