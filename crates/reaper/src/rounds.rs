//! A round of the active reaper: sweep, retire, trim, observe.

use prometheus::{Histogram, HistogramOpts, IntCounter};
use service_kit::{Context, Redis};

use crate::{
    group_metrics::GroupMetrics, managed::ManagedGroups, observe::observe, retention::Retention,
    retire::Retirement, sweep::Sweeper,
};

/// Everything that is done once an interval.
pub(crate) struct Rounds {
    redis: Redis,
    managed: ManagedGroups,
    sweeper: Sweeper,
    retirement: Retirement,
    retention: Retention,
    metrics: GroupMetrics,
    duration: Histogram,
    errors: IntCounter,
}

impl Rounds {
    pub(crate) fn new(redis: &Redis, context: &Context, metrics: GroupMetrics) -> anyhow::Result<Self> {
        let duration = Histogram::with_opts(HistogramOpts::new(
            "reaper_sweep_duration_seconds",
            "Time of a whole round: sweep, retire, trim, observe",
        ))?;
        let errors = IntCounter::new(
            "reaper_errors_total",
            "Steps of a round that failed; the next round repeats them",
        )?;
        context.registry.register(Box::new(duration.clone()))?;
        context.registry.register(Box::new(errors.clone()))?;
        Ok(Self {
            redis: redis.clone(),
            managed: ManagedGroups::new(&context.settings.retention.groups),
            sweeper: Sweeper::new(redis, context)?,
            retirement: Retirement::new(redis, context)?,
            retention: Retention::new(redis, context)?,
            metrics,
            duration,
            errors,
        })
    }

    /// One round. A step that fails is logged and counted, and the others still run.
    pub(crate) async fn run(&mut self, lease_value: &str) {
        let timer = self.duration.start_timer();
        if let Err(error) = self.managed.refresh(&self.redis.stream).await {
            self.failed("reading the registry of workers", &error);
        }
        for group in self.managed.names() {
            if let Err(error) = self.sweeper.sweep(&group, lease_value).await {
                self.failed("sweeping", &error);
            }
            let registered = self.managed.registered(&group);
            if let Err(error) = self.retirement.retire(&group, &registered, lease_value).await {
                self.failed("retiring dead consumers", &error);
            }
        }
        if let Err(error) = self.retention.enforce().await {
            self.failed("retention", &error);
        }
        match observe(&self.redis.stream).await {
            Ok(observation) => self.metrics.show(observation),
            Err(error) => self.failed("observing groups", &error),
        }
        timer.observe_duration();
    }

    /// Forgets what only the active reaper may know or show.
    pub(crate) fn stand_down(&mut self) {
        self.metrics.clear();
        self.retirement.forget();
    }

    fn failed(&self, step: &str, error: &stream_core::Error) {
        self.errors.inc();
        tracing::warn!(step, %error, "a step of the round failed; the next round repeats it");
    }
}
