//! [`Authenticator`]: who a request comes from, by the keys of this moment.

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use axum::http::HeaderMap;
use prometheus::{IntCounter, Registry};

use super::{
    Caller, Digest, Refusal, Scope,
    credentials::presented,
    failures::Failures,
    keyring::{Keyring, Match},
    limit::Limiter,
    metrics::{ANONYMOUS, AuthMetrics, Reason},
    startup::Startup,
};
use crate::config::ApiKeyEntry;

/// No key is longer, in bytes.
const KEY_MAX: usize = 512;

/// Tells who a request comes from. Clones are the same; asking one takes no lock.
#[derive(Debug, Clone)]
pub struct Authenticator(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    required: bool,
    keys: ArcSwap<Keyring>,
    anonymous: Option<Arc<Limiter>>,
    anonymous_limited: IntCounter,
    anonymous_requests: IntCounter,
    metrics: AuthMetrics,
    failures: Failures,
}

impl Authenticator {
    /// With the keys that were there at the start.
    ///
    /// # Errors
    /// If its metrics are registered already.
    pub fn new(startup: &Startup, registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = AuthMetrics::register(registry)?;
        let keys = Keyring::new(startup.entries(), &Keyring::default(), &metrics);
        metrics.known(keys.len());
        let anonymous = startup.anonymous_rate_per_second();
        let anonymous = anonymous.map(|rate| Arc::new(Limiter::new(ANONYMOUS, rate, None)));
        Ok(Self(Arc::new(Inner {
            required: startup.keys_are_required(),
            keys: ArcSwap::from_pointee(keys),
            anonymous,
            anonymous_limited: metrics.limited(ANONYMOUS),
            anonymous_requests: metrics.requests(ANONYMOUS),
            metrics,
            failures: Failures::default(),
        })))
    }

    /// One that asks nobody for a key.
    ///
    /// # Errors
    /// If its metrics are registered already.
    pub fn open(registry: &Registry) -> Result<Self, prometheus::Error> {
        Self::new(&Startup::default(), registry)
    }

    /// Whether a key is asked for.
    pub fn is_required(&self) -> bool {
        self.0.required
    }

    /// Who presents a key with this scope; anybody where no key is asked for. What the request costs is not taken.
    ///
    /// # Errors
    /// Why they are not let in; it was counted and logged.
    pub fn admit(&self, headers: &HeaderMap, from: Option<IpAddr>, scope: Scope) -> Result<Caller, Refusal> {
        let caller = self.identify(headers, from)?;
        if caller.may(scope) {
            return Ok(caller);
        }
        self.lacks_scope(&caller, from);
        Err(Refusal::MissingScope(scope))
    }

    /// Who sends a request, whatever their key is for.
    ///
    /// # Errors
    /// Why they are not let in; it was counted and logged.
    pub fn identify(&self, headers: &HeaderMap, from: Option<IpAddr>) -> Result<Caller, Refusal> {
        if !self.0.required {
            let Inner { anonymous, anonymous_requests, anonymous_limited, .. } = &*self.0;
            return Ok(Caller::anonymous(anonymous.as_ref(), anonymous_requests, anonymous_limited));
        }
        match presented(headers) {
            Ok(Some(credential)) => self.known(credential, from),
            Ok(None) => {
                self.note(Reason::Missing, from, None);
                Err(Refusal::Missing)
            }
            Err(_) => {
                self.note(Reason::Malformed, from, None);
                Err(Refusal::Ambiguous)
            }
        }
    }

    /// Whose key this is.
    ///
    /// # Errors
    /// Why it is not taken; it was counted and logged.
    fn known(&self, credential: &[u8], from: Option<IpAddr>) -> Result<Caller, Refusal> {
        match self.find(credential) {
            Match::Key(key) => Ok(Caller::with_key(key)),
            Match::Expired(key) => {
                self.note(Reason::Expired, from, Some(&key.id));
                Err(key.expires.map_or(Refusal::Unknown, Refusal::Expired))
            }
            Match::Unknown => Err(self.wrong(from)),
        }
    }

    /// Whose key a request presents, if it is one; nothing is counted, since nobody is let in or refused by it.
    pub fn recognise(&self, headers: &HeaderMap) -> Option<Caller> {
        presented(headers).ok().flatten().and_then(|credential| self.recognise_key(credential))
    }

    /// Whose key this is, if it is one; nothing is counted.
    pub fn recognise_key(&self, credential: &[u8]) -> Option<Caller> {
        match self.find(credential) {
            Match::Key(key) => Some(Caller::with_key(key)),
            Match::Expired(_) | Match::Unknown => None,
        }
    }

    /// What is answered to a credential that nobody knows: from an address with too many of them, to wait.
    ///
    /// A right one is never made to wait: callers behind one proxy share its address, and must not lock each other out.
    pub fn wrong(&self, from: Option<IpAddr>) -> Refusal {
        if let Some(wait) = self.0.failures.wrong(from) {
            self.note(Reason::Slowed, from, None);
            Refusal::Slowed(wait)
        } else {
            self.note(Reason::Unknown, from, None);
            Refusal::Unknown
        }
    }

    /// Counts and logs that a caller asks for what their key is not for.
    pub fn lacks_scope(&self, caller: &Caller, from: Option<IpAddr>) {
        self.note(Reason::Scope, from, caller.id());
    }

    /// Counts and logs that nothing was presented where something must be.
    pub fn missing(&self, from: Option<IpAddr>) -> Refusal {
        self.note(Reason::Missing, from, None);
        Refusal::Missing
    }

    /// Whether the caller of a request that lasts would still be let in, with what they were let in for.
    pub fn still_admits(&self, caller: &Caller, scope: Scope) -> bool {
        let Some(key) = caller.key() else { return !self.0.required };
        match self.0.keys.load().find(&key.digest) {
            Match::Key(key) => key.scopes.contains(scope),
            Match::Expired(_) | Match::Unknown => false,
        }
    }

    /// Takes other keys from now on. A request that has been let in goes on.
    pub(super) fn replace(&self, entries: &[ApiKeyEntry]) {
        let keys = Keyring::new(entries, &self.0.keys.load(), &self.0.metrics);
        self.0.metrics.known(keys.len());
        self.0.keys.store(Arc::new(keys));
    }

    /// The names of the keys.
    pub(super) fn ids(&self) -> Vec<String> {
        self.0.keys.load().ids().map(str::to_owned).collect()
    }

    pub(super) fn file_is_stale(&self, is_stale: bool) {
        self.0.metrics.stale(is_stale);
    }

    fn find(&self, credential: &[u8]) -> Match {
        if self.0.required && credential.len() <= KEY_MAX {
            self.0.keys.load().find(&Digest::of(credential))
        } else {
            Match::Unknown
        }
    }

    fn note(&self, reason: Reason, from: Option<IpAddr>, key: Option<&str>) {
        self.0.failures.note(&self.0.metrics, reason, from, key);
    }
}
