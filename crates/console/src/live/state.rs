//! [`State`]: what the page shows, as it is sent to it. `null` is what is not known, never 0.

use serde::Serialize;
use stream_core::ConsumerCounters;
use utoipa::ToSchema;

use crate::entry_json::EntryJson;

/// The pipeline at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct State {
    /// When it was looked at, Unix ms.
    pub(crate) at_ms: u64,
    /// Whether Redis answers. While it does not, the rest is what was seen last.
    pub(crate) redis: RedisState,
    /// The stream; `null` if it was never seen.
    pub(crate) stream: Option<StreamState>,
    /// What was produced, and what all groups together did.
    pub(crate) totals: Totals,
    /// The ten newest entries, the newest first; long ones cut.
    pub(crate) tail: Vec<EntryJson>,
    /// Every group.
    pub(crate) groups: Vec<GroupState>,
    /// Every worker process that holds a name.
    pub(crate) processes: Vec<ProcessState>,
    /// What was left out since there is too much of it: one sentence each.
    pub(crate) left_out: Vec<String>,
}

/// Whether Redis answers.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct RedisState {
    pub(crate) available: bool,
    /// Why not.
    pub(crate) reason: Option<String>,
    pub(crate) address: String,
}

/// The stream in figures.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct StreamState {
    pub(crate) key: String,
    pub(crate) length: u64,
    pub(crate) first_id: Option<String>,
    pub(crate) last_id: Option<String>,
    pub(crate) last_generated_id: String,
    pub(crate) entries_added: u64,
}

/// Sums over all groups of the runtime's, consumers that are gone included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub(crate) struct Totals {
    /// Entries ever added to the stream.
    pub(crate) produced: u64,
    #[serde(flatten)]
    pub(crate) counters: Counters,
}

/// What consumers have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub(crate) struct Counters {
    /// Deliveries whose handling has come to an end.
    pub(crate) processed: u64,
    pub(crate) acked: u64,
    /// Entries taken over from the pending list.
    pub(crate) claimed: u64,
    /// Deliveries that failed and are tried again.
    pub(crate) retried: u64,
    pub(crate) dead_lettered: u64,
}

impl From<ConsumerCounters> for Counters {
    fn from(told: ConsumerCounters) -> Self {
        let ConsumerCounters { processed, acked, claimed, retried, dead_lettered } = told;
        Self { processed, acked, claimed, retried, dead_lettered }
    }
}

impl Counters {
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            processed: self.processed + other.processed,
            acked: self.acked + other.acked,
            claimed: self.claimed + other.claimed,
            retried: self.retried + other.retried,
            dead_lettered: self.dead_lettered + other.dead_lettered,
        }
    }
}

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct GroupState {
    pub(crate) name: String,
    /// Whether it is one of the runtime's; of any other only the server's own figures are known.
    pub(crate) managed: bool,
    pub(crate) last_delivered_id: String,
    pub(crate) pending: u64,
    /// Entries not delivered yet; `null` if that cannot be told.
    pub(crate) lag: Option<u64>,
    /// Age of the oldest undelivered entry, 0 if there is none.
    pub(crate) lag_ms: u64,
    /// Age of the oldest pending entry.
    pub(crate) oldest_pending_ms: Option<u64>,
    pub(crate) dead_letters: u64,
    /// Dead letters that were sent back and are not settled yet.
    pub(crate) redrive_queued: u64,
    pub(crate) totals: Counters,
    /// Whether any process of it that answers claims idle entries by itself; `null` if none answers.
    pub(crate) claim_auto: Option<bool>,
    pub(crate) claim_min_idle_ms: Option<u64>,
    /// Whether any process of it drops deliveries on request.
    pub(crate) fault_injection: Option<bool>,
    /// By name.
    pub(crate) consumers: Vec<ConsumerState>,
}

/// A consumer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ConsumerState {
    pub(crate) name: String,
    /// `starting`, `running`, `name_lost`, `leaving`: as its process says; `unreachable`: it holds its name, and its
    /// process does not answer; `dead`: no process holds its name; `unknown`: nothing tells of it but the server.
    pub(crate) state: String,
    /// Whether a process holds its name.
    pub(crate) alive: bool,
    pub(crate) paused: Option<bool>,
    pub(crate) pending: u64,
    pub(crate) idle_ms: Option<u64>,
    pub(crate) in_flight: Option<u64>,
    pub(crate) parked: Option<u64>,
    pub(crate) drop_next: Option<u64>,
    pub(crate) dropped: Option<u64>,
    /// Since it took its name; `null` if nothing tells of them.
    pub(crate) counters: Option<Counters>,
    /// The ID of its process.
    pub(crate) process: Option<String>,
    /// The last deliveries that came to an end, the newest first.
    pub(crate) recent: Vec<Recent>,
}

/// A delivery that came to an end.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Recent {
    pub(crate) id: String,
    /// The event's type; `null` if the entry is not in the stream any more.
    #[serde(rename = "type")]
    pub(crate) event_type: Option<String>,
    /// The entry's fields, long ones cut; only the guide's routes show them.
    #[serde(skip)]
    pub(crate) fields: Option<Vec<(String, String)>>,
    /// `acked`, `retried`, `postponed`, `dead_lettered`, `dropped`, `ownership_lost`, `released` or `abandoned`.
    pub(crate) outcome: String,
    pub(crate) attempt: u64,
    pub(crate) reason: Option<String>,
    pub(crate) at_ms: u64,
}

/// A worker process.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ProcessState {
    /// `<host>/<pid>`.
    pub(crate) id: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) group: String,
    pub(crate) address: String,
    pub(crate) reachable: bool,
    /// Why not.
    pub(crate) reason: Option<String>,
    /// Unix ms; `null` of a process on another machine.
    pub(crate) started_ms: Option<u64>,
    pub(crate) claim_auto: Option<bool>,
    pub(crate) fault_injection: Option<bool>,
    pub(crate) claim_min_idle_ms: Option<u64>,
    pub(crate) consumers: Vec<String>,
    /// Sums over its consumers.
    pub(crate) counters: Counters,
}
