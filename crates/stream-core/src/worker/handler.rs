//! [`Handler`]: what a user of the runtime writes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{Fields, StreamId};

/// Handles the entries of a group, one at a time, many at once.
pub trait Handler: Send + Sync + 'static {
    /// Handles one delivery. Must be idempotent: an entry may be delivered more than once.
    ///
    /// A panic, or taking longer than the handler timeout, is a [`Outcome::Retry`].
    fn handle(&self, delivery: &Delivery) -> impl Future<Output = Outcome> + Send;
}

/// What is to become of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Done: never deliver it again.
    Ack,
    /// Failed for now: deliver it again, until it has been delivered `max_deliveries` times.
    Retry {
        /// Why, for the log and in the end for the dead letter.
        reason: String,
        /// Not sooner than this from now, up to a day; `None` leaves it to the settings. Should this process end before, a
        /// peer tries it sooner.
        after: Option<Duration>,
    },
    /// Could not be tried, or failed for what has nothing to do with the entry, such as a receiver that is down for
    /// everybody: deliver it again, and do not count this delivery towards `max_deliveries`.
    Postpone {
        /// Why, for the log.
        reason: String,
        /// Not sooner than this from now, up to a day. Should this process end before, a peer tries it sooner.
        after: Duration,
    },
    /// Cannot be understood, by this or any other version of the handler: make it a dead letter now.
    Poison {
        /// What is wrong with the entry.
        reason: String,
    },
    /// Failed for good: make it a dead letter now.
    DeadLetter {
        /// Why, for the log and the dead letter.
        reason: String,
    },
}

/// One entry, handed to a consumer.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The entry's ID, the original one also when it was redriven. The key for everything that must happen once.
    pub id: StreamId,
    /// Its fields.
    pub fields: Fields,
    /// How often it was delivered, this time included.
    pub deliveries: u64,
    /// The group it was delivered to.
    pub group: Arc<str>,
    /// The consumer it was delivered to.
    pub consumer: Arc<str>,
    /// Its ID in the stream it was read from, by which it is settled: for a redriven entry not the original one.
    pub(crate) row: StreamId,
    /// How many of its earlier deliveries ended in an orderly failure in this process: those prove nothing against it.
    pub(crate) failures: u64,
}

impl Delivery {
    /// The value by which first attempts are kept in order.
    pub(super) fn ordering_key(&self, field: &str) -> Option<Bytes> {
        self.fields.get_bytes(field).cloned()
    }
}
