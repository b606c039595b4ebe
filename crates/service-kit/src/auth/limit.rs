//! [`Limiter`]: how much one caller may ask for, as a token bucket (GCRA), and the header fields that tell it.

use std::{num::NonZeroU32, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};

/// The burst of a caller for whom none is configured, unless a second's worth is more: the largest batch.
const BURST_DEFAULT: u32 = 1_000;
/// Fields of draft-ietf-httpapi-ratelimit-headers: the quota, and what is left of it.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

type Bucket = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// A token bucket. Charging it takes no lock.
#[derive(Debug)]
pub(super) struct Limiter {
    bucket: Bucket,
    clock: DefaultClock,
    /// What the policy is called in the header fields.
    name: &'static str,
    rate_per_second: f64,
    burst: NonZeroU32,
}

/// Why something was not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// Not now, but after this time.
    Until(Duration),
    /// Never: it is more than the bucket holds.
    Never,
}

impl Limiter {
    /// For a rate above zero.
    pub(super) fn new(name: &'static str, rate_per_second: f64, burst: Option<NonZeroU32>) -> Self {
        // Rates and bursts are checked when the settings are read.
        let period = Duration::from_secs_f64(1.0 / rate_per_second.max(f64::MIN_POSITIVE))
            .max(Duration::from_nanos(1));
        let second = NonZeroU32::new(rate_per_second.ceil() as u32).unwrap_or(NonZeroU32::MIN);
        let largest_batch = NonZeroU32::new(BURST_DEFAULT).unwrap_or(NonZeroU32::MIN);
        let burst = burst.unwrap_or(second.max(largest_batch));
        let quota = Quota::with_period(period).unwrap_or(Quota::per_second(second)).allow_burst(burst);
        let clock = DefaultClock::default();
        let bucket = RateLimiter::direct_with_clock(quota, clock.clone()).with_middleware();
        Self { bucket, clock, name, rate_per_second, burst }
    }

    /// Whether it allows the same as another one would.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.rate_per_second.to_bits() == other.rate_per_second.to_bits() && self.burst == other.burst
    }

    /// Takes all of these units, or none; how many are left.
    pub(super) fn charge(&self, units: NonZeroU32) -> Result<u32, Denied> {
        if units > self.burst {
            return Err(Denied::Never);
        }
        match self.bucket.check_n(units) {
            Ok(Ok(state)) => Ok(state.remaining_burst_capacity()),
            Ok(Err(not_until)) => Err(Denied::Until(not_until.wait_time_from(self.clock.now()))),
            Err(_) => Err(Denied::Never),
        }
    }

    /// How long one unit takes to come back.
    pub(super) fn period(&self) -> Duration {
        self.refill(1)
    }

    /// The most that can be taken at once.
    pub(super) fn burst(&self) -> u32 {
        self.burst.get()
    }

    /// What comes back each second.
    pub(super) fn rate_per_second(&self) -> f64 {
        self.rate_per_second
    }

    /// What the policy is called.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    fn refill(&self, units: u32) -> Duration {
        Duration::from_secs_f64(f64::from(units) / self.rate_per_second)
    }

    /// Tells the policy, and that this much is left.
    pub(super) fn tell(&self, remaining: u32, headers: &mut HeaderMap) {
        let seconds = |duration: Duration| duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
        let Self { name, burst, .. } = self;
        let window = seconds(self.refill(burst.get()));
        let until_full = seconds(self.refill(burst.get().saturating_sub(remaining)));
        for (field, value) in [
            (POLICY, format!("\"{name}\";q={burst};w={window}")),
            (STATE, format!("\"{name}\";r={remaining};t={until_full}")),
        ] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(field, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).unwrap()
    }

    #[test]
    fn a_bucket_gives_what_it_holds_and_says_when_to_come_again() {
        let limiter = Limiter::new("key", 0.1, Some(units(5)));
        assert_eq!(limiter.charge(units(6)), Err(Denied::Never));
        assert_eq!(limiter.charge(units(u32::MAX)), Err(Denied::Never));
        assert_eq!(limiter.charge(units(3)), Ok(2));
        let Err(Denied::Until(wait)) = limiter.charge(units(4)) else { panic!("only two are left") };
        assert!(wait > Duration::from_secs(15) && wait <= Duration::from_secs(20), "{wait:?}");
        assert_eq!(limiter.charge(units(2)), Ok(0));
        let Err(Denied::Until(wait)) = limiter.charge(units(1)) else { panic!("none is left") };
        assert!(wait > Duration::from_secs(5) && wait <= Duration::from_secs(10), "{wait:?}");
    }

    #[test]
    fn without_a_burst_the_largest_batch_fits() {
        assert_eq!(Limiter::new("key", 0.5, None).burst(), 1_000);
        assert_eq!(Limiter::new("key", 5_000.5, None).burst(), 5_001);
    }

    #[test]
    fn the_fields_are_those_of_the_draft() {
        let limiter = Limiter::new("key", 2.0, Some(units(5)));
        let mut headers = HeaderMap::new();
        limiter.tell(4, &mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"key\";q=5;w=3");
        assert_eq!(headers["ratelimit"], "\"key\";r=4;t=1");
    }

    #[test]
    fn the_extremes_of_what_can_be_configured_do_not_overflow() {
        for (rate, burst) in [(0.001, 1_000_000), (1_000_000.0, 1_000_000), (0.001, 1), (1_000_000.0, 1)] {
            let limiter = Limiter::new("key", rate, Some(units(burst)));
            assert_eq!(limiter.charge(units(burst)), Ok(0), "{rate} {burst}");
            limiter.tell(0, &mut HeaderMap::new());
        }
    }
}
