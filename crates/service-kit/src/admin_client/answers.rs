//! What workers answer, as far as their clients know it.

use serde::Deserialize;
use stream_core::ConsumerCounters;

/// A worker and its consumers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct WorkerAnswer {
    /// The group that it consumes.
    pub group: String,
    /// Whether it claims idle entries by itself.
    pub claim_auto: bool,
    /// How long an entry must be idle to be claimed, in milliseconds.
    pub claim_min_idle_ms: Option<u64>,
    /// Whether deliveries may be dropped on request.
    pub fault_injection: Option<bool>,
    /// Its consumers, by name.
    pub consumers: Vec<ConsumerAnswer>,
}

/// A consumer of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ConsumerAnswer {
    /// Its name.
    pub name: String,
    /// What it is at: `starting`, `running`, `name_lost`, `leaving`, or what a newer version calls it.
    pub state: String,
    /// Whether it was told not to read and claim.
    pub paused: bool,
    /// Entries read or claimed and not settled, parked ones included.
    pub in_flight: u64,
    /// Of those, the ones that wait for their next attempt.
    pub parked: u64,
    /// Deliveries that it is still to drop.
    pub drop_next: u64,
    /// Deliveries that it has dropped.
    pub dropped: u64,
    /// What it has done since it took its name.
    pub counters: ConsumerCounters,
    /// The last deliveries that came to an end, the newest first.
    pub recent: Vec<RecentAnswer>,
}

/// A delivery that came to an end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RecentAnswer {
    /// The entry.
    pub id: String,
    /// What became of the delivery, such as `acked`.
    pub outcome: String,
    /// Which delivery of the entry it was.
    pub attempt: u64,
    /// Why, where it was not acked.
    pub reason: Option<String>,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
}

/// What claiming idle entries came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ClaimAnswer {
    /// The idle time from which on entries were claimed, in milliseconds.
    pub min_idle_ms: u64,
    /// Entries that were taken over.
    pub claimed: Vec<String>,
    /// How many of them were handled and acked.
    pub processed: u64,
    /// How many of them failed and are tried again later.
    pub retried: u64,
    /// How many of them are still in flight.
    pub unfinished: u64,
    /// Entries that are dead letters now.
    pub dead_lettered: Vec<String>,
    /// Entries whose payload was gone.
    pub deleted: Vec<String>,
}

/// What a removed consumer left.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RemovedAnswer {
    /// Who has its entries now, if it had any.
    pub handed_over_to: Option<String>,
    /// Entries that were handed over.
    pub handed_over: u64,
    /// Whether the consumer is gone from the group.
    pub deleted: bool,
}

/// What a handover between live consumers moved.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HandoverAnswer {
    /// Entries that are the other consumer's now.
    pub moved: u64,
    /// Entries whose payload was gone.
    pub lost: Vec<String>,
    /// Entries that are being handled, and stay where they are.
    pub kept: u64,
}

/// What a service logs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LogAnswer {
    /// The filter in force.
    pub filter: String,
    /// That of its configuration.
    pub configured: String,
    /// In how many seconds the configured one is back by itself.
    pub reverts_in_seconds: Option<u64>,
}
