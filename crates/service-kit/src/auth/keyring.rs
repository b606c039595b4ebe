//! [`Keyring`]: the keys of one moment, looked through without telling how much of a wrong one was right.

use std::{num::NonZeroU32, sync::Arc};

use jiff::Timestamp;
use prometheus::IntCounter;
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use super::{Digest, Scopes, limit::Limiter, metrics::AuthMetrics};
use crate::config::ApiKeyEntry;

/// What the policy of a key is called in the rate limit's header fields.
const POLICY: &str = "key";

/// A key as the configuration has it, with what it has used up.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) digest: Digest,
    pub(super) scopes: Scopes,
    pub(super) expires: Option<Timestamp>,
    pub(super) limiter: Option<Arc<Limiter>>,
    pub(super) requests: IntCounter,
    pub(super) limited: IntCounter,
}

/// Every key, by position.
#[derive(Debug, Default)]
pub(super) struct Keyring(Vec<Arc<Key>>);

/// What a credential is.
#[derive(Debug)]
pub(super) enum Match {
    Key(Arc<Key>),
    Expired(Arc<Key>),
    Unknown,
}

impl Key {
    fn has_expired(&self) -> bool {
        self.expires.is_some_and(|expires| Timestamp::now() >= expires)
    }
}

impl Keyring {
    /// The keys of these entries. One that was there before, with the same limits, goes on with what is left of them.
    pub(super) fn new(entries: &[ApiKeyEntry], before: &Self, metrics: &AuthMetrics) -> Self {
        let key = |entry: &ApiKeyEntry| {
            let limiter = entry.rate_per_second.map(|rate| {
                let burst = entry.burst.and_then(NonZeroU32::new);
                let limiter = Limiter::new(POLICY, rate, burst);
                let known = before.0.iter().find(|key| key.id == entry.id);
                let known = known.and_then(|key| key.limiter.clone()).filter(|known| known.is_like(&limiter));
                known.unwrap_or_else(|| Arc::new(limiter))
            });
            Arc::new(Key {
                id: entry.id.clone(),
                digest: entry.digest,
                scopes: entry.scopes,
                expires: entry.expires,
                limiter,
                requests: metrics.requests(&entry.id),
                limited: metrics.limited(&entry.id),
            })
        };
        let keys: Vec<_> = entries.iter().map(key).collect();
        for gone in before.0.iter().filter(|old| !keys.iter().any(|key| key.id == old.id)) {
            metrics.forget(&gone.id);
        }
        Self(keys)
    }

    /// Looks at every key, whichever it is.
    pub(super) fn find(&self, digest: &Digest) -> Match {
        let mut position = u64::MAX;
        for (index, key) in self.0.iter().enumerate() {
            position.conditional_assign(&(index as u64), key.digest.ct_eq(digest));
        }
        let key = usize::try_from(position).ok().and_then(|position| self.0.get(position));
        match key {
            Some(key) if key.has_expired() => Match::Expired(Arc::clone(key)),
            Some(key) => Match::Key(Arc::clone(key)),
            None => Match::Unknown,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.id.as_str())
    }
}
