//! [`WorkerMetrics`]: what a worker counts.

use std::{sync::Arc, time::Duration};

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::counts::Counts;
use crate::{ErrorKind, StreamId, stream::unix_ms};

/// From a handler that only computes to one that waits for its timeout.
const HANDLER_BUCKETS: &[f64] = &[
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0,
];
/// From a quiet stream to a backlog of an hour. The alert rules count what took longer than one of these bounds.
const END_TO_END_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0,
    3600.0,
];

/// What became of a delivery; the `outcome` label of `worker_deliveries_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeliveryOutcome {
    Acked,
    Retried,
    Postponed,
    DeadLettered,
    OwnershipLost,
    Released,
    Abandoned,
}

impl DeliveryOutcome {
    const ALL: [Self; 7] = [
        Self::Acked,
        Self::Retried,
        Self::Postponed,
        Self::DeadLettered,
        Self::OwnershipLost,
        Self::Released,
        Self::Abandoned,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Acked => "acked",
            Self::Retried => "retried",
            Self::Postponed => "postponed",
            Self::DeadLettered => "dead_lettered",
            Self::OwnershipLost => "ownership_lost",
            Self::Released => "released",
            Self::Abandoned => "abandoned",
        }
    }
}

/// The metrics of one group's worker. Clones count together; beside the series, each consumer has counts of its own.
#[derive(Debug, Clone)]
pub struct WorkerMetrics {
    deliveries: Vec<IntCounter>,
    redis_errors: Vec<IntCounter>,
    pub(super) handler_seconds: Histogram,
    end_to_end_seconds: Histogram,
    pub(super) in_flight: IntGauge,
    pub(super) parked: IntGauge,
    claims: IntCounter,
    /// Of the consumer that these are the metrics of.
    pub(super) counts: Arc<Counts>,
    pub(super) group_restores: IntCounter,
    pub(super) names_lost: IntCounter,
}

impl WorkerMetrics {
    /// Registers the metrics of `group`. Every series exists at 0 from here on.
    pub fn register(registry: &Registry, group: &str) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(name, help).const_label("group", group);
        let deliveries = IntCounterVec::new(
            opts("worker_deliveries_total", "Deliveries by what became of them"),
            &["outcome"],
        )?;
        let redis_errors = IntCounterVec::new(
            opts("worker_redis_errors_total", "Failed Redis operations of the worker by kind"),
            &["kind"],
        )?;
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            Histogram::with_opts(HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec()))
        };
        let counter = |name: &str, help: &str| IntCounter::with_opts(opts(name, help));
        let metrics = Self {
            deliveries: DeliveryOutcome::ALL
                .iter()
                .map(|outcome| deliveries.with_label_values(&[outcome.label()]))
                .collect(),
            redis_errors: ErrorKind::ALL
                .iter()
                .map(|kind| redis_errors.with_label_values(&[kind.label()]))
                .collect(),
            handler_seconds: histogram(
                "worker_handler_duration_seconds",
                "Time a handler took, or a batch of a projection",
                HANDLER_BUCKETS,
            )?,
            end_to_end_seconds: histogram(
                "worker_end_to_end_seconds",
                "Time from an entry's append to its ack, by the entry's ID",
                END_TO_END_BUCKETS,
            )?,
            in_flight: IntGauge::with_opts(opts(
                "worker_in_flight",
                "Entries read or claimed, waiting for a handler, being handled or being settled",
            ))?,
            parked: IntGauge::with_opts(opts(
                "worker_parked",
                "Entries whose handling failed and that wait for their next attempt",
            ))?,
            claims: counter("worker_claims_total", "Entries claimed because they had been idle")?,
            group_restores: counter(
                "worker_group_restores_total",
                "Times the consumer group was gone and was recreated at its recorded position",
            )?,
            counts: Arc::default(),
            names_lost: counter("worker_names_lost_total", "Times a consumer lost its reserved name")?,
        };
        registry.register(Box::new(deliveries))?;
        registry.register(Box::new(redis_errors))?;
        registry.register(Box::new(metrics.handler_seconds.clone()))?;
        registry.register(Box::new(metrics.end_to_end_seconds.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.parked.clone()))?;
        registry.register(Box::new(metrics.claims.clone()))?;
        registry.register(Box::new(metrics.group_restores.clone()))?;
        registry.register(Box::new(metrics.names_lost.clone()))?;
        Ok(metrics)
    }

    /// The same series, with counts of a consumer's own.
    pub(super) fn of_consumer(&self) -> Self {
        Self { counts: Arc::default(), ..self.clone() }
    }

    pub(super) fn claimed(&self) {
        self.claims.inc();
        self.counts.claimed(1);
    }

    pub(super) fn delivered(&self, outcome: DeliveryOutcome, entries: u64) {
        self.counts.delivered(outcome, entries);
        self.deliveries[outcome as usize].inc_by(entries);
    }

    pub(super) fn redis_error(&self, kind: ErrorKind) {
        let at = ErrorKind::ALL.iter().position(|known| *known == kind);
        if let Some(counter) = at.and_then(|at| self.redis_errors.get(at)) {
            counter.inc();
        }
    }

    pub(super) fn acked(&self, ids: &[StreamId]) {
        self.delivered(DeliveryOutcome::Acked, ids.len() as u64);
        let now = unix_ms();
        for id in ids {
            let age = Duration::from_millis(now.saturating_sub(id.ms));
            self.end_to_end_seconds.observe(age.as_secs_f64());
        }
    }
}
