//! [`Attempts`]: how many wrong keys or tokens may be presented, counted for each address, so that whoever guesses locks out
//! nobody else.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// Wrong tokens that may be presented at once, and how long until another one may.
const ATTEMPTS: u32 = 10;
const ATTEMPT_EVERY: Duration = Duration::from_secs(6);
/// Addresses that are remembered; beyond it the one that was heard of least recently is forgotten.
const ADDRESSES_MAX: usize = 1_000;
/// The part of an IPv6 address that is one network, whose hosts can take as many addresses as they like.
const NETWORK: Ipv6Addr = Ipv6Addr::new(0xffff, 0xffff, 0xffff, 0xffff, 0, 0, 0, 0);

/// What each address may still try; one that is not there has tried nothing. `None` is whoever has no address.
#[derive(Debug, Default)]
pub struct Attempts(HashMap<Option<IpAddr>, Left>);

/// Wrong tokens that may still be presented, and when that number was right.
#[derive(Debug, Clone, Copy)]
struct Left(u32, Instant);

impl Attempts {
    /// How long nobody may try another token from this address.
    pub fn must_wait(&self, from: Option<IpAddr>) -> Option<Duration> {
        let Left(left, since) = self.0.get(&network(from))?.now();
        (left == 0).then(|| ATTEMPT_EVERY.saturating_sub(since.elapsed()))
    }

    /// A wrong token was presented.
    pub fn wrong(&mut self, from: Option<IpAddr>) {
        let from = network(from);
        let Left(left, since) = self.0.get(&from).map_or_else(|| Left(ATTEMPTS, Instant::now()), Left::now);
        if self.0.len() >= ADDRESSES_MAX && !self.0.contains_key(&from) {
            self.0.retain(|_, left| left.now().0 < ATTEMPTS);
            let oldest = self.0.iter().min_by_key(|(_, Left(_, since))| *since).map(|(from, _)| *from);
            if let Some(oldest) = oldest.filter(|_| self.0.len() >= ADDRESSES_MAX) {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(from, Left(left.saturating_sub(1), since));
    }
}

impl Left {
    /// With what was regained meanwhile.
    fn now(&self) -> Self {
        let Self(left, since) = *self;
        let regained = since.elapsed().as_millis() / ATTEMPT_EVERY.as_millis();
        match u32::try_from(regained) {
            Ok(regained) if regained < ATTEMPTS - left => {
                Self(left + regained, since + ATTEMPT_EVERY * regained)
            }
            _ => Self(ATTEMPTS, Instant::now()),
        }
    }
}

fn network(from: Option<IpAddr>) -> Option<IpAddr> {
    from.map(|from| match from.to_canonical() {
        IpAddr::V6(from) => IpAddr::V6(from & NETWORK),
        from @ IpAddr::V4(_) => from,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_network_has_attempts_of_its_own_and_regains_them() {
        let mut attempts = Attempts::default();
        for _ in 0..ATTEMPTS {
            for from in ["10.0.0.1", "2001:db8::1"] {
                assert_eq!(attempts.must_wait(Some(address(from))), None);
                attempts.wrong(Some(address(from)));
            }
        }
        for from in ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::2"] {
            let wait = attempts.must_wait(Some(address(from)));
            assert!(wait.is_some_and(|wait| wait <= ATTEMPT_EVERY), "{from}: {wait:?}");
        }
        for from in [Some(address("10.0.0.2")), Some(address("2001:db8:0:1::1")), None] {
            assert_eq!(attempts.must_wait(from), None, "{from:?}");
        }
        let from = Some(address("10.0.0.1"));
        attempts.0.get_mut(&from).unwrap().1 = Instant::now().checked_sub(ATTEMPT_EVERY).unwrap();
        assert_eq!(attempts.must_wait(from), None);
        attempts.wrong(from);
        assert!(attempts.must_wait(from).is_some(), "only one was regained");
    }

    #[test]
    fn addresses_are_bounded_and_the_last_ones_are_remembered() {
        let mut attempts = Attempts::default();
        let nth = |n: usize| Some(IpAddr::from((n as u32).to_be_bytes()));
        for n in 0..=ADDRESSES_MAX {
            attempts.wrong(nth(n));
        }
        assert_eq!(attempts.0.len(), ADDRESSES_MAX);
        assert!(!attempts.0.contains_key(&nth(0)) && attempts.0.contains_key(&nth(ADDRESSES_MAX)));
    }
}
