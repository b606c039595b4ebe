//! [`NameLease`]: a consumer's name, held by one process at a time, so that no pending list is ever shared.

use std::time::Duration;

use tokio::time::Instant;

use super::{Holder, Lease, Take};
use crate::{Error, ErrorKind, EventStream};

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

/// A reserved consumer name.
#[derive(Debug, Clone)]
pub struct NameLease {
    lease: Lease,
    stream: EventStream,
    group: String,
    name: String,
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
        let reserved = Self { lease, stream: stream.clone(), group: group.to_owned(), name: name.to_owned() };
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
        let mut cmd = redis::cmd("HSET");
        cmd.arg(self.stream.key().workers()).arg(self.registry_field()).arg(self.lease.value());
        match self.stream.connection().query::<i64>("HSET workers", &cmd).await {
            // A full server refuses; the consumer must be able to drain it. An old entry of the name still stands.
            Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                tracing::warn!(consumer = self.name, %error, "the consumer could not be registered");
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        self.stream.create_consumer(&self.group, &self.name).await
    }

    fn registry_field(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }

    /// Extends the reservation; `false` if it was lost.
    pub async fn renew(&self) -> Result<bool, Error> {
        self.lease.renew().await
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
