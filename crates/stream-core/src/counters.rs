//! [`ConsumerCounters`]: what a consumer has done, as it tells everybody.

use serde::{Deserialize, Serialize};

/// What a consumer has done since it took its name, or all consumers of a group together.
///
/// A consumer writes its counts once in `lease_renew_interval` (1 s), with the renewal of its name, and once more
/// when it drains. A process that is killed takes at most what it did since its last renewal along. How many entries
/// were produced is kept by the server itself: [`StreamInfo::entries_added`](crate::StreamInfo::entries_added).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumerCounters {
    /// Deliveries whose handling has come to an end, whatever it was.
    pub processed: u64,
    /// Entries acked after they were handled.
    pub acked: u64,
    /// Entries taken over from the pending list: idle ones, and its own after a restart.
    pub claimed: u64,
    /// Deliveries that failed and are to be tried again.
    pub retried: u64,
    /// Entries moved to the dead letters.
    pub dead_lettered: u64,
}

impl ConsumerCounters {
    /// The names of the counters, as in the registry and in the totals.
    pub(crate) const NAMES: [&str; 5] = ["processed", "acked", "claimed", "retried", "dead_lettered"];

    /// The counts in the order of [`NAMES`](Self::NAMES).
    pub(crate) const fn values(self) -> [u64; 5] {
        [self.processed, self.acked, self.claimed, self.retried, self.dead_lettered]
    }

    /// The reverse of [`values`](Self::values).
    pub(crate) const fn of_values(values: [u64; 5]) -> Self {
        let [processed, acked, claimed, retried, dead_lettered] = values;
        Self { processed, acked, claimed, retried, dead_lettered }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_in_one_order() {
        let counters = ConsumerCounters::of_values([1, 2, 3, 4, 5]);
        let json = serde_json::to_value(counters).unwrap();
        for (name, value) in ConsumerCounters::NAMES.iter().zip(counters.values()) {
            assert_eq!(json[name], value, "{name}");
        }
    }
}
