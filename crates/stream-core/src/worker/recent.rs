//! [`Recent`]: the last deliveries of a consumer and what came of them, for people who watch it.

use std::collections::VecDeque;

use serde::Serialize;

use super::{Delivery, process::Verdict};
use crate::{StreamId, stream::unix_ms};

/// How many deliveries are remembered: what fits on a screen.
pub(super) const RECENT_MAX: usize = 10;
/// The longest reason that is kept, in characters; the whole one is in the log and in the dead letter.
const REASON_CHARS_MAX: usize = 200;

/// What a delivery came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecentOutcome {
    /// It was handled; its ack goes out at once and is repeated until answered.
    Acked,
    /// It failed and waits for its next attempt.
    Retried,
    /// It waits for a better time; this delivery does not count.
    Postponed,
    /// It failed for good and goes to the dead letters.
    DeadLettered,
    /// It was not this consumer's any more.
    OwnershipLost,
    /// It was dropped as told: it stays pending as if the process had died.
    Dropped,
}

/// A delivery that has come to its end in this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecentDelivery {
    /// The entry's ID: of one that was sent back, the ID that it had at first.
    pub id: StreamId,
    /// What it came to.
    pub outcome: RecentOutcome,
    /// The delivery count of the entry then: 1 at its first delivery.
    pub attempt: u64,
    /// Why, if it failed.
    pub reason: Option<String>,
    /// When, Unix time in milliseconds.
    pub at_ms: u64,
}

/// The last deliveries of one engine, oldest first.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<RecentDelivery>);

impl Recent {
    /// Takes note of how the handling of a delivery ended. `is_last_attempt` says whether a failure is final.
    pub(super) fn ended(&mut self, delivery: &Delivery, verdict: &Verdict, is_last_attempt: bool) {
        let (outcome, reason) = match verdict {
            Verdict::Ack | Verdict::Committed => (RecentOutcome::Acked, None),
            Verdict::NotPending => (RecentOutcome::OwnershipLost, None),
            Verdict::Retry { reason, .. } if is_last_attempt => (RecentOutcome::DeadLettered, Some(reason)),
            Verdict::Retry { reason, .. } => (RecentOutcome::Retried, Some(reason)),
            Verdict::Postpone { reason, .. } => (RecentOutcome::Postponed, Some(reason)),
            Verdict::Dead { message, .. } => (RecentOutcome::DeadLettered, Some(message)),
        };
        let reason = reason.map(|reason| reason.chars().take(REASON_CHARS_MAX).collect());
        self.push(delivery.id, outcome, delivery.deliveries, reason);
    }

    /// Takes note of an entry that was read and dropped.
    pub(super) fn dropped(&mut self, id: StreamId) {
        self.push(id, RecentOutcome::Dropped, 1, None);
    }

    /// What is remembered, newest first.
    pub(super) fn newest_first(&self) -> Vec<RecentDelivery> {
        self.0.iter().rev().cloned().collect()
    }

    fn push(&mut self, id: StreamId, outcome: RecentOutcome, attempt: u64, reason: Option<String>) {
        if self.0.len() >= RECENT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(RecentDelivery { id, outcome, attempt, reason, at_ms: unix_ms() });
    }
}

/// What several engines remember, newest first.
pub(super) fn merged(mut all: Vec<RecentDelivery>) -> Vec<RecentDelivery> {
    // Stable, so that what one engine did within a millisecond stays in its order.
    all.sort_by_key(|delivery| std::cmp::Reverse(delivery.at_ms));
    all.truncate(RECENT_MAX);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_come_first() {
        let mut recent = Recent::default();
        for seq in 0..25 {
            recent.dropped(StreamId::new(1, seq));
        }
        let ids: Vec<u64> = recent.newest_first().iter().map(|delivery| delivery.id.seq).collect();
        assert_eq!(ids, (15..25).rev().collect::<Vec<_>>());
    }

    #[test]
    fn what_two_engines_remember_is_told_by_time() {
        let at = |seq, at_ms| RecentDelivery {
            id: StreamId::new(1, seq),
            outcome: RecentOutcome::Acked,
            attempt: 1,
            reason: None,
            at_ms,
        };
        let all = merged(vec![at(3, 30), at(1, 10), at(4, 40), at(2, 20)]);
        assert_eq!(all.iter().map(|delivery| delivery.id.seq).collect::<Vec<_>>(), [4, 3, 2, 1]);
    }
}
