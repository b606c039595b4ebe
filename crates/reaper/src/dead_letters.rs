//! Bounding the dead letters of every managed group; what is dropped is logged, and counted in Redis.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus::{
    IntCounterVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use service_kit::{Context, Redis};
use stream_core::{DeadLetterBounds, Error, EventStream};

/// Calls for one group in one round. Each drops a bounded number; what is left comes with the next round.
const CALLS_MAX: usize = 50;

/// Enforces the bounds, once a round.
pub(crate) struct DeadLetterLimits {
    stream: EventStream,
    bounds: DeadLetterBounds,
    dropped: Dropped,
    /// Those that are always shown: retention waits for them, whether they exist or not.
    configured: Vec<String>,
    /// What is known of each group; shown at the end of a round.
    totals: BTreeMap<String, u64>,
}

impl DeadLetterLimits {
    pub(crate) fn new(redis: &Redis, context: &Context) -> anyhow::Result<Self> {
        let settings = &context.settings.dead_letters;
        let bounds = DeadLetterBounds {
            max_entries: (settings.max_entries > 0).then_some(settings.max_entries),
            max_age: (!settings.max_age.is_zero()).then_some(settings.max_age),
        };
        let dropped = Dropped::register(&context.registry, redis.stream.key().as_str())?;
        let configured = context.settings.retention.groups.clone();
        Ok(Self { stream: redis.stream.clone(), bounds, dropped, configured, totals: BTreeMap::new() })
    }

    /// Drops what is beyond the bounds of one group, and learns how many were ever dropped.
    pub(crate) async fn enforce(&mut self, group: &str, lease_value: &str) -> Result<(), Error> {
        let dead_letters = self.stream.dead_letters(group);
        let (mut dropped, mut result) = (0, Ok(()));
        for _ in 0..CALLS_MAX {
            match dead_letters.bound(lease_value, self.bounds).await {
                Ok(Some(bounded)) => {
                    dropped += bounded.dropped;
                    self.totals.insert(group.to_owned(), bounded.dropped_total);
                    if bounded.more {
                        continue;
                    }
                }
                Ok(None) => {}
                Err(error) => result = Err(error),
            }
            break;
        }
        if dropped > 0 {
            tracing::warn!(
                group,
                dropped,
                "dead letters beyond dead_letters.max_entries or dead_letters.max_age were dropped"
            );
        }
        result
    }

    /// Shows what is known of the configured groups and of those that there are: one that was destroyed leaves no series
    /// behind.
    pub(crate) fn show(&mut self, exists: impl Fn(&str) -> bool) {
        self.totals.retain(|group, _| exists(group) || self.configured.contains(group));
        self.dropped.show(self.totals.clone());
    }

    /// The count is the active reaper's to show.
    pub(crate) fn forget(&mut self) {
        self.totals.clear();
        self.dropped.show(BTreeMap::new());
    }
}

/// `stream_dead_letters_dropped_total`, as Redis has it: it outlives this process.
#[derive(Debug, Clone)]
struct Dropped {
    stream: String,
    /// Without series: what the registry tells collectors apart by.
    described: IntCounterVec,
    by_group: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Dropped {
    fn register(registry: &Registry, stream: &str) -> Result<Self, prometheus::Error> {
        let described = Self::counter()?;
        let dropped = Self { stream: stream.to_owned(), described, by_group: Arc::default() };
        registry.register(Box::new(dropped.clone()))?;
        Ok(dropped)
    }

    fn counter() -> Result<IntCounterVec, prometheus::Error> {
        let help = "Dead letters of the group that the bounds on them have dropped, by any reaper";
        IntCounterVec::new(Opts::new("stream_dead_letters_dropped_total", help), &["stream", "group"])
    }

    fn show(&self, totals: BTreeMap<String, u64>) {
        *self.by_group.lock().unwrap_or_else(PoisonError::into_inner) = totals;
    }
}

impl Collector for Dropped {
    fn desc(&self) -> Vec<&Desc> {
        self.described.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Ok(counter) = Self::counter() else { return Vec::new() };
        let by_group = self.by_group.lock().unwrap_or_else(PoisonError::into_inner);
        for (group, total) in &*by_group {
            counter.with_label_values(&[&self.stream, group]).inc_by(*total);
        }
        counter.collect()
    }
}
