//! [`NameLease`]: a consumer's name, held by one process at a time, so that no pending list is ever shared.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redis::{FromRedisValue, ParsingError, Value};
use tokio::time::Instant;

use super::{Holder, Lease, Take};
use crate::{
    ConsumerCounters, Error, EventStream,
    reply::{take_array, take_int},
    scripts,
};

/// How often a claimant looks whether the holder is still there.
const POLL: Duration = Duration::from_millis(250);
/// How much longer than the TTL a claimant waits for a holder that may be gone.
const GRACE: Duration = Duration::from_secs(1);

/// A name could not be reserved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// A living process holds it.
    #[error(
        "the consumer name {name:?} of group {group:?} is held by {holder}; stop it, or give this process \
         other names"
    )]
    Taken {
        /// The group.
        group: String,
        /// The name.
        name: String,
        /// Who holds it.
        holder: String,
    },
    /// Redis failed.
    #[error(transparent)]
    Redis(#[from] Error),
}

/// What became of the renewal of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRenewal {
    /// The name is ours, and the counts are told.
    Held,
    /// The name is ours; the counts could not be written, since the registry or the totals hold something else.
    HeldUncounted,
    /// The name was lost.
    Lost,
}

impl NameRenewal {
    /// Whether the name is ours.
    pub const fn is_held(self) -> bool {
        !matches!(self, Self::Lost)
    }
}

impl FromRedisValue for NameRenewal {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let flags: Vec<i64> = take_array(value)?.into_iter().map(take_int).collect::<Result<_, _>>()?;
        Ok(match flags[..] {
            [1, 1] => Self::Held,
            [1, ..] => Self::HeldUncounted,
            _ => Self::Lost,
        })
    }
}

/// A reserved consumer name.
#[derive(Debug, Clone)]
pub struct NameLease {
    lease: Lease,
    stream: EventStream,
    group: String,
    name: String,
    /// The counts that are surely in the group's totals.
    confirmed: Arc<Mutex<ConsumerCounters>>,
}

impl NameLease {
    /// Reserves `name` and lists the consumer (XGROUP CREATECONSUMER), whose group must exist.
    ///
    /// If the holder ran on this machine and is gone, the name is taken over at once; otherwise this waits
    /// until the lease has run out, and gives up as soon as it sees a renewal.
    pub async fn reserve(
        stream: &EventStream,
        group: &str,
        name: &str,
        holder: &Holder,
        ttl: Duration,
    ) -> Result<Self, NameError> {
        let key = stream.key().consumer_lease(group, name);
        let lease = Lease::new(stream.connection().clone(), key, holder.to_lease_value(), ttl);
        let (stream, group, name) = (stream.clone(), group.to_owned(), name.to_owned());
        let reserved = Self { lease, stream, group, name, confirmed: Arc::default() };
        reserved.wait_and_take().await?;
        reserved.announce().await?;
        Ok(reserved)
    }

    async fn wait_and_take(&self) -> Result<(), NameError> {
        let deadline = Instant::now() + self.lease.ttl + GRACE;
        let mut gone: Option<String> = None;
        let mut last_remaining: Option<Duration> = None;
        loop {
            let (value, remaining) = match self.lease.take(gone.as_deref()).await? {
                Take::Taken => return Ok(()),
                Take::Held { value, remaining } => (value, remaining),
            };
            let holder: Option<Holder> = serde_json::from_str(&value).ok();
            if holder.as_ref().is_some_and(Holder::is_gone) {
                tracing::info!(
                    group = self.group,
                    consumer = self.name,
                    "taking over the name of a process that is gone"
                );
                // Compared again by the script: should somebody else be quicker, this waits on.
                if gone.as_ref() != Some(&value) {
                    gone = Some(value);
                    continue;
                }
            }
            let renewed = last_remaining.is_some_and(|last| remaining > last);
            if renewed || Instant::now() >= deadline {
                let holder = holder.map_or(value, |holder| holder.to_string());
                return Err(NameError::Taken { group: self.group.clone(), name: self.name.clone(), holder });
            }
            last_remaining = Some(remaining);
            // 0: it ran out just now, or it has no TTL and never will.
            let pause =
                if remaining.is_zero() { POLL } else { POLL.min(remaining + Duration::from_millis(1)) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Enters the holder in the registry and lists the consumer.
    async fn announce(&self) -> Result<(), Error> {
        let confirmed = self.confirmed();
        if self.renew(confirmed).await? == NameRenewal::HeldUncounted {
            tracing::warn!(
                consumer = self.name,
                "the consumer could not be registered: {} or {} is not a hash of ours",
                self.stream.key().workers(),
                self.stream.key().worker_totals()
            );
        }
        self.stream.create_consumer(&self.group, &self.name).await
    }

    fn registry_field(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }

    /// Extends the reservation, enters `counters` (all that was done since the name was reserved) in the registry,
    /// and adds what is new of them to the group's totals; one script, allowed on a full server.
    pub async fn renew(&self, counters: ConsumerCounters) -> Result<NameRenewal, Error> {
        let key = self.stream.key();
        let mut script = scripts::RENEW_NAME.prepare_invoke();
        script.key(key.consumer_lease(&self.group, &self.name)).key(key.workers()).key(key.worker_totals());
        script.arg(self.lease.ttl().as_millis() as u64).arg(self.lease.value());
        script.arg(self.registry_field()).arg(&self.group);
        let counts = counters.values().into_iter().zip(self.confirmed().values());
        for (name, (count, confirmed)) in ConsumerCounters::NAMES.into_iter().zip(counts) {
            script.arg(name).arg(count).arg(confirmed);
        }
        let renewal = self.stream.connection().invoke("renew name", &script).await?;
        if renewal == NameRenewal::Held {
            *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = counters;
        }
        Ok(renewal)
    }

    fn confirmed(&self) -> ConsumerCounters {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves the name again after it was lost.
    pub async fn retake(&self) -> Result<(), NameError> {
        self.wait_and_take().await?;
        Ok(self.announce().await?)
    }

    /// Ends the reservation of a consumer that has stopped reading. A consumer that was deleted also leaves
    /// the registry; one with entries left stays in it, for the reaper to find.
    pub async fn release(&self, consumer_deleted: bool) -> Result<(), Error> {
        if consumer_deleted {
            let mut cmd = redis::cmd("HDEL");
            cmd.arg(self.stream.key().workers()).arg(self.registry_field());
            self.stream.connection().query::<i64>("HDEL workers", &cmd).await?;
        }
        self.lease.release().await.map(drop)
    }
}
