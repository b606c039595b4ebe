//! Admission: whether events are taken, or the stream has reached a hard cap of retention.
//!
//! The length comes with every pipeline, so that the entry cap holds to within what is in flight, with or without
//! a reaper; memory, and what may open admission again, is [watched](mod@watch).

mod watch;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use service_kit::config::{Retention, RetentionPolicy};
use stream_core::MemoryUse;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
pub(crate) use watch::watch;

use crate::metrics::Metrics;

/// A hard cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cap {
    /// `retention.hard_cap_entries`.
    Entries,
    /// `retention.hard_cap_memory_percent`.
    Memory,
}

impl Cap {
    pub(crate) const ALL: [Self; 2] = [Self::Entries, Self::Memory];

    /// The cap as a metric label and in problems.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Entries => "entries",
            Self::Memory => "memory",
        }
    }
}

/// Admission opens again this much below the cap, so that it does not flutter.
const RELEASE_PERCENT: u64 = 99;

/// Which caps there are.
#[derive(Debug, Clone, Copy)]
struct Limits {
    entries: u64,
    memory_percent: u64,
}

/// Whether events are taken. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// `None`: the length is bounded by policy, so nothing is capped.
    limits: Option<Limits>,
    /// By [`Cap`]. Read for every request, hence no lock.
    closed: [AtomicBool; 2],
    known: Mutex<Known>,
    /// Wakes the watch: admission was closed.
    was_closed: Notify,
    /// Wakes those who wait until events are taken again.
    was_opened: Notify,
    metrics: Metrics,
}

#[derive(Debug, Clone, Default)]
struct Known {
    /// By [`Cap`]: what there was at the last look, and the limit.
    levels: [(u64, u64); 2],
    holder: Option<Holder>,
}

/// Who keeps retention from making room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    /// A group, or the hold of a rebuild.
    pub(crate) name: String,
    /// The group whose projection is being rebuilt, if it is a rebuild.
    pub(crate) rebuilds: Option<String>,
    /// Whether the oldest entry that it needs is old enough to go otherwise.
    pub(crate) alone: bool,
}

/// Why events are not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// Entries or bytes there are.
    pub(crate) used: u64,
    /// From how many on nothing is taken.
    pub(crate) limit: u64,
    /// `None` if no group is in the way, or it is not known yet.
    pub(crate) holder: Option<Holder>,
}

impl Admission {
    pub(crate) fn new(retention: &Retention, metrics: Metrics) -> Self {
        let limits = match retention.policy {
            RetentionPolicy::Maxlen => None,
            RetentionPolicy::Age | RetentionPolicy::Guarded => Some(Limits {
                entries: retention.hard_cap_entries,
                memory_percent: retention.hard_cap_memory_percent,
            }),
        };
        Self::with(limits, metrics)
    }

    /// Takes everything.
    #[cfg(test)]
    pub(crate) fn unlimited(metrics: Metrics) -> Self {
        Self::with(None, metrics)
    }

    fn with(limits: Option<Limits>, metrics: Metrics) -> Self {
        let (closed, known, was_closed, was_opened) = Default::default();
        Self(Arc::new(Shared { limits, closed, known, was_closed, was_opened, metrics }))
    }

    /// The cap that has been reached, if one has.
    pub(crate) fn closed(&self) -> Option<Cap> {
        Cap::ALL.into_iter().find(|cap| self.is_closed(*cap))
    }

    /// Waits until events are taken, but not beyond `deadline`.
    pub(crate) async fn open_by(&self, deadline: Instant) {
        loop {
            // Made before looking, so that a change in between is not missed.
            let opened = self.0.was_opened.notified();
            if self.closed().is_none() || timeout_at(deadline, opened).await.is_err() {
                return;
            }
        }
    }

    /// Why a cap refuses events.
    pub(crate) fn report(&self, cap: Cap) -> Report {
        let known = self.known();
        let (used, limit) = known.levels[cap as usize];
        Report { used, limit, holder: known.holder.clone() }
    }

    /// Learns the stream's length right after a pipeline. Several are in flight and may be answered out of
    /// order, so this closes and never opens.
    pub(crate) fn appended(&self, length: u64) {
        if let Some(limits) = &self.0.limits
            && length >= limits.entries
        {
            self.set(Cap::Entries, length, limits.entries);
        }
    }

    /// Learns the stream's length; closes or opens.
    fn length(&self, length: u64) {
        if let Some(limits) = &self.0.limits {
            self.set(Cap::Entries, length, limits.entries);
        }
    }

    /// Learns the server's memory; closes or opens. Without a limit nothing is capped.
    fn memory(&self, memory: MemoryUse) {
        if let Some(limits) = &self.0.limits {
            let limit = match memory.max {
                0 => u64::MAX,
                max => (u128::from(max) * u128::from(limits.memory_percent) / 100) as u64,
            };
            self.set(Cap::Memory, memory.used, limit);
        }
    }

    /// Nothing is known of a cap: it caps nothing.
    fn unknown(&self, cap: Cap) {
        let limit = self.known().levels[cap as usize].1;
        self.set(cap, 0, limit);
    }

    fn holder(&self, holder: Option<Holder>) {
        self.known().holder = holder;
    }

    fn set(&self, cap: Cap, used: u64, limit: u64) {
        let mut known = self.known();
        known.levels[cap as usize] = (used, limit);
        let was_closed = self.is_closed(cap);
        let release = (u128::from(limit) * u128::from(RELEASE_PERCENT) / 100) as u64;
        let closed = if was_closed { used > release } else { used >= limit && limit > 0 };
        self.0.closed[cap as usize].store(closed, Ordering::Relaxed);
        self.0.metrics.cap(cap, used, limit, closed);
        drop(known);
        let cap = cap.label();
        match (was_closed, closed) {
            (false, true) => {
                tracing::warn!(cap, used, limit, "the hard cap of retention is reached; producers get 429");
                self.0.was_closed.notify_one();
            }
            (true, false) => {
                tracing::info!(cap, used, limit, "below the hard cap again; events are taken");
                self.0.was_opened.notify_waiters();
            }
            _ => {}
        }
    }

    /// Whether there is anything to watch.
    fn is_limited(&self) -> bool {
        self.0.limits.is_some()
    }

    /// Waits until a writer has closed admission.
    async fn was_closed(&self) {
        self.0.was_closed.notified().await;
    }

    fn is_closed(&self, cap: Cap) -> bool {
        self.0.closed[cap as usize].load(Ordering::Relaxed)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each critical section leaves it consistent, so a panic elsewhere does not spoil it.
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use order_events::EventTypes;
    use prometheus::Registry;

    use super::*;

    fn admission(entries: u64) -> Admission {
        let metrics = Metrics::register(&Registry::new(), &EventTypes::default()).unwrap();
        Admission::with(Some(Limits { entries, memory_percent: 75 }), metrics)
    }

    #[test]
    fn the_entry_cap_closes_at_the_cap_and_opens_a_little_below_it() {
        let admission = admission(1_000);
        admission.appended(999);
        assert_eq!(admission.closed(), None);
        admission.appended(1_000);
        assert_eq!(admission.closed(), Some(Cap::Entries));
        admission.appended(10);
        assert_eq!(admission.closed(), Some(Cap::Entries), "an answer that was late opens nothing");
        admission.length(991);
        assert_eq!(admission.closed(), Some(Cap::Entries));
        admission.length(990);
        assert_eq!(admission.closed(), None);
    }

    #[tokio::test]
    async fn who_waits_is_told_when_events_are_taken_again() {
        let admission = admission(100);
        admission.appended(100);
        admission.open_by(Instant::now()).await;
        assert_eq!(admission.closed(), Some(Cap::Entries), "the deadline passed");
        let far = Instant::now() + std::time::Duration::from_mins(1);
        let waiting = async {
            admission.open_by(far).await;
            admission.closed()
        };
        let (closed, ()) = tokio::join!(waiting, async { admission.length(10) });
        assert_eq!((closed, Instant::now() < far), (None, true));
    }

    #[test]
    fn a_cap_of_one_can_be_left() {
        let admission = admission(1);
        admission.appended(1);
        assert_eq!(admission.closed(), Some(Cap::Entries));
        admission.length(0);
        assert_eq!(admission.closed(), None);
    }

    #[test]
    fn the_memory_cap_is_a_share_of_the_limit_and_means_nothing_without_one() {
        let admission = admission(u64::MAX);
        admission.memory(MemoryUse { used: 1 << 40, max: 0 });
        assert_eq!(admission.closed(), None);
        admission.memory(MemoryUse { used: 7_499, max: 10_000 });
        assert_eq!(admission.closed(), None);
        admission.memory(MemoryUse { used: 7_500, max: 10_000 });
        assert_eq!(admission.closed(), Some(Cap::Memory));
        assert_eq!(admission.report(Cap::Memory), Report { used: 7_500, limit: 7_500, holder: None });
        admission.memory(MemoryUse { used: 7_425, max: 10_000 });
        assert_eq!(admission.closed(), None);
    }
}
