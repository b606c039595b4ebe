//! [`WorkerSettings`]: the bounds and the timing of a worker.

use std::time::Duration;

/// How a worker's consumers read, handle, claim and drain. Every bound is a bound for one consumer.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Names of the consumers, one consumer for each. Stable across restarts, unique in the group.
    pub consumers: Vec<String>,
    /// The host's name, told to others in the lease of each name.
    pub host: String,
    /// Where this process can be reached, told to others; may be empty.
    pub advertise: String,
    /// Entries asked for in one read.
    pub read_count: usize,
    /// How long one read waits at the server.
    pub block: Duration,
    /// Entries read or claimed and not settled yet: what a crash leaves to others.
    pub max_in_flight: usize,
    /// Handlers running at the same time.
    pub concurrency: usize,
    /// A handler that takes longer has failed.
    pub handler_timeout: Duration,
    /// Entries idle for so long are taken over from whoever held them.
    pub claim_min_idle: Duration,
    /// How often to look for them, with jitter.
    pub claim_interval: Duration,
    /// Whether to claim by itself, to begin with; [`WorkerControl::set_claiming`](crate::WorkerControl::set_claiming)
    /// changes it.
    pub claim_auto: bool,
    /// The attempt after which a failing entry becomes a dead letter.
    pub max_deliveries: u64,
    /// How long an entry waits after its first failed attempt; after each further one longer.
    pub retry_base: Duration,
    /// By how much longer: each wait is this many times the one before.
    pub retry_factor: f64,
    /// The longest wait, before jitter.
    pub retry_cap: Duration,
    /// The share of a wait, from 0 to 1, by which it is made shorter or longer at random.
    pub retry_jitter: f64,
    /// Entries that wait for another attempt before reading and claiming stop. What is in flight then may still add
    /// to them.
    pub max_parked: usize,
    /// First attempts of entries with the same value in this field run in ID order.
    pub ordering_field: Option<String>,
    /// Whether consumers may be told to drop deliveries, as if the process had died: for demos and tests.
    pub fault_injection: bool,
    /// How long a drain may take before handlers are abandoned.
    pub drain_timeout: Duration,
    /// How long a name stays reserved without renewal.
    pub lease_ttl: Duration,
    /// How often names are renewed, and entries in flight at the least.
    pub lease_renew_interval: Duration,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            consumers: vec!["consumer-0".to_owned()],
            host: String::new(),
            advertise: String::new(),
            read_count: 200,
            block: Duration::from_secs(1),
            max_in_flight: 1_000,
            concurrency: 64,
            handler_timeout: Duration::from_secs(30),
            claim_min_idle: Duration::from_secs(5),
            claim_interval: Duration::from_secs(1),
            claim_auto: true,
            max_deliveries: 5,
            retry_base: Duration::from_millis(500),
            retry_factor: 2.0,
            retry_cap: Duration::from_secs(30),
            retry_jitter: 0.2,
            max_parked: 1_000,
            ordering_field: None,
            fault_injection: false,
            drain_timeout: Duration::from_secs(8),
            lease_ttl: Duration::from_secs(5),
            lease_renew_interval: Duration::from_secs(1),
        }
    }
}

impl WorkerSettings {
    /// How often leases on entries in flight are renewed: often enough that one failed renewal costs none.
    pub(super) fn renew_interval(&self) -> Duration {
        (self.claim_min_idle / 5).min(self.lease_renew_interval).max(Duration::from_millis(1))
    }

    /// The idle time of entries that were handed over. Entries in flight are renewed before that, so the new owner
    /// can tell them apart; and it looks for them before they have been idle for long enough to be anybody's.
    pub(super) fn given_idle(&self) -> Duration {
        self.claim_min_idle / 2
    }

    /// From this delivery on an entry may be what kills processes: two before ended nobody knows how, or all but the
    /// last that there may be.
    pub(super) fn suspect_deliveries(&self) -> u64 {
        self.max_deliveries.clamp(2, SUSPECT_DELIVERIES)
    }

    /// The time until the next look for idle entries: the interval, a quarter more or less, so that consumers spread
    /// out.
    pub(super) fn claim_interval_jittered(&self) -> Duration {
        self.claim_interval.mul_f64(0.75 + fastrand::f64() / 2.0)
    }

    /// For a redrive stream, a stream of exceptions: the same timing in little room.
    pub(super) fn redrive(&self) -> Self {
        Self {
            max_in_flight: self.max_in_flight.min(100),
            read_count: self.read_count.min(50),
            concurrency: self.concurrency.min(8),
            max_parked: self.max_parked.min(100),
            ..self.clone()
        }
    }

    /// Entries that one read asks for at most. A read that waits holds as much room: a quarter is left to
    /// claims.
    pub(super) fn read_max(&self) -> usize {
        self.read_count.min(self.max_in_flight - self.max_in_flight / 4).max(1)
    }

    /// Capacity that must be free before the next read: reads of a few entries each would waste round trips.
    pub(super) fn read_threshold(&self) -> usize {
        self.read_max().min(self.max_in_flight / 4).max(1)
    }
}

/// Entries delivered so often may be what kills processes: they run alone.
const SUSPECT_DELIVERIES: u64 = 3;

/// Rows that one claim looks at.
pub(super) const CLAIM_PAGE: usize = 200;
