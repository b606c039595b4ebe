//! [`Counts`]: what one consumer has done, counted where it happens.

use std::sync::atomic::{AtomicU64, Ordering};

use super::metrics::DeliveryOutcome;
use crate::ConsumerCounters;

/// The live form of [`ConsumerCounters`].
#[derive(Debug, Default)]
pub(super) struct Counts {
    processed: AtomicU64,
    acked: AtomicU64,
    claimed: AtomicU64,
    retried: AtomicU64,
    dead_lettered: AtomicU64,
}

impl Counts {
    pub(super) fn processed(&self, deliveries: u64) {
        self.processed.fetch_add(deliveries, Ordering::Relaxed);
    }

    pub(super) fn claimed(&self, entries: u64) {
        self.claimed.fetch_add(entries, Ordering::Relaxed);
    }

    pub(super) fn delivered(&self, outcome: DeliveryOutcome, entries: u64) {
        let counter = match outcome {
            DeliveryOutcome::Acked => &self.acked,
            DeliveryOutcome::Retried => &self.retried,
            DeliveryOutcome::DeadLettered => &self.dead_lettered,
            DeliveryOutcome::Postponed
            | DeliveryOutcome::OwnershipLost
            | DeliveryOutcome::Released
            | DeliveryOutcome::Abandoned => return,
        };
        counter.fetch_add(entries, Ordering::Relaxed);
    }

    pub(super) fn so_far(&self) -> ConsumerCounters {
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ConsumerCounters {
            processed: now(&self.processed),
            acked: now(&self.acked),
            claimed: now(&self.claimed),
            retried: now(&self.retried),
            dead_lettered: now(&self.dead_lettered),
        }
    }
}
