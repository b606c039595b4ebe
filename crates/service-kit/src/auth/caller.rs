//! [`Caller`]: who sends a request, what they may do, and what it costs them.

use std::{
    convert::Infallible,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::FromRequestParts,
    http::{Extensions, HeaderMap, StatusCode, request::Parts},
};
use prometheus::IntCounter;

use super::{
    Scope,
    keyring::Key,
    limit::{Denied, Limiter},
};
use crate::Problem;

/// Who sends a request. Among its extensions, and an extractor; clones are the same caller of the same request.
///
/// A request costs one unit, taken before its handler runs. What carries more than one event is charged for each:
/// [`charge`](Self::charge) before it is written, the first one being paid for by the request.
#[derive(Debug, Clone, Default)]
pub struct Caller(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// `None` where no key is asked for.
    key: Option<Arc<Key>>,
    requests: Option<IntCounter>,
    allowance: Option<Allowance>,
}

#[derive(Debug)]
struct Allowance {
    limiter: Arc<Limiter>,
    limited: IntCounter,
    /// Whether the request's own unit has not been used for an event.
    prepaid: AtomicBool,
    /// What was left after the last charge.
    remaining: AtomicU32,
}

/// More than the caller's rate limit allows. Nothing of it was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct OverLimit {
    /// When it would be allowed; never, if it is more than the burst.
    pub retry_after: Option<Duration>,
    units: u32,
    burst: u32,
    rate_per_second: f64,
    policy: &'static str,
}

impl Caller {
    pub(super) fn with_key(key: Arc<Key>) -> Self {
        let limiter = key.limiter.clone();
        let allowance = limiter.map(|limiter| Allowance::new(limiter, key.limited.clone()));
        let requests = Some(key.requests.clone());
        Self(Arc::new(Inner { key: Some(key), requests, allowance }))
    }

    pub(super) fn anonymous(
        limiter: Option<&Arc<Limiter>>,
        requests: &IntCounter,
        refused: &IntCounter,
    ) -> Self {
        let allowance = limiter.map(|limiter| Allowance::new(Arc::clone(limiter), refused.clone()));
        Self(Arc::new(Inner { key: None, requests: Some(requests.clone()), allowance }))
    }

    /// The caller of a request; somebody without a key and without limits where nobody has looked.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }

    /// The name of the key; `None` where no key is asked for.
    pub fn id(&self) -> Option<&str> {
        self.0.key.as_ref().map(|key| key.id.as_str())
    }

    /// Whether this is allowed to them. Everything is where no key is asked for.
    pub fn may(&self, scope: Scope) -> bool {
        self.0.key.as_ref().is_none_or(|key| key.scopes.contains(scope))
    }

    /// Takes units of the caller's rate limit, all or none: one for each event, before anything is written. The first
    /// unit of a request was taken when it came in.
    ///
    /// # Errors
    /// If that is more than is left, or more than could ever be.
    pub fn charge(&self, units: u32) -> Result<(), OverLimit> {
        let Some(allowance) = &self.0.allowance else { return Ok(()) };
        if units == 0 {
            return Ok(());
        }
        let limiter = &allowance.limiter;
        if units > limiter.burst() {
            return Err(allowance.denied(units, Denied::Never));
        }
        let prepaid = allowance.prepaid.swap(false, Ordering::Relaxed);
        match allowance.take(units - u32::from(prepaid)) {
            // Whoever sends it again pays for the request again.
            Err(Denied::Until(wait)) if prepaid => {
                Err(allowance.denied(units, Denied::Until(wait + limiter.period())))
            }
            taken => taken.map_err(|denied| allowance.denied(units, denied)),
        }
    }

    /// Takes the unit of the request itself.
    pub(super) fn enter(&self) -> Result<(), OverLimit> {
        if let Some(allowance) = &self.0.allowance {
            allowance.take(1).map_err(|denied| allowance.denied(1, denied))?;
            allowance.prepaid.store(true, Ordering::Relaxed);
        }
        if let Some(requests) = &self.0.requests {
            requests.inc();
        }
        Ok(())
    }

    /// Tells the caller's limit and what is left of it.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        if let Some(allowance) = &self.0.allowance {
            allowance.limiter.tell(allowance.remaining.load(Ordering::Relaxed), headers);
        }
    }

    pub(super) fn key(&self) -> Option<&Arc<Key>> {
        self.0.key.as_ref()
    }
}

impl Allowance {
    fn new(limiter: Arc<Limiter>, refused: IntCounter) -> Self {
        Self { limiter, limited: refused, prepaid: AtomicBool::new(false), remaining: AtomicU32::new(0) }
    }

    fn take(&self, units: u32) -> Result<(), Denied> {
        let Some(units) = NonZeroU32::new(units) else { return Ok(()) };
        self.remaining.store(self.limiter.charge(units)?, Ordering::Relaxed);
        Ok(())
    }

    fn denied(&self, units: u32, denied: Denied) -> OverLimit {
        self.limited.inc();
        let retry_after = match denied {
            Denied::Until(wait) => Some(wait),
            Denied::Never => None,
        };
        let (burst, rate_per_second) = (self.limiter.burst(), self.limiter.rate_per_second());
        OverLimit { retry_after, units, burst, rate_per_second, policy: self.limiter.name() }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

/// `429` with `Retry-After`; `422` where waiting would not help.
impl From<OverLimit> for Problem {
    fn from(over: OverLimit) -> Self {
        let OverLimit { retry_after, units, burst, rate_per_second, policy } = over;
        let problem = if let Some(wait) = retry_after {
            Self::new(StatusCode::TOO_MANY_REQUESTS, "/problems/rate-limited", "Too many requests")
                .detail(format!(
                    "allowed are {rate_per_second} requests or events a second, at most {burst} at once"
                ))
                .retry_after(wait)
        } else {
            let kind = "/problems/batch-exceeds-rate-limit";
            let title = "The batch is larger than the rate limit allows";
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, kind, title).detail(format!(
                    "the batch has {units} events, and at most {burst} are allowed at once, however long you wait; \
                     send at most {burst} in a batch"
                ))
        };
        problem.with("burst", burst).with("violated-policies", vec![policy])
    }
}
