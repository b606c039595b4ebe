//! A round of the active reaper: sweep, retire, bound dead letters, trim, observe.

use prometheus::{Histogram, HistogramOpts};
use service_kit::{Context, Redis};

use crate::{
    dead_letters::DeadLetterLimits,
    failures::{Failures, Step},
    group_metrics::GroupMetrics,
    managed::ManagedGroups,
    observe::observe,
    retention::Retention,
    retire::Retirement,
    sweep::Sweeper,
};

/// From a stream with nothing to do to one with a long list to recover.
const ROUND_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Everything that is done once an interval.
pub(crate) struct Rounds {
    redis: Redis,
    managed: ManagedGroups,
    sweeper: Sweeper,
    retirement: Retirement,
    dead_letters: DeadLetterLimits,
    retention: Retention,
    metrics: GroupMetrics,
    duration: Histogram,
    failures: Failures,
}

impl Rounds {
    pub(crate) fn new(
        redis: &Redis,
        context: &Context,
        metrics: GroupMetrics,
        failures: Failures,
    ) -> anyhow::Result<Self> {
        let duration = Histogram::with_opts(
            HistogramOpts::new(
                "reaper_sweep_duration_seconds",
                "Time of a whole round: sweep, retire, trim, observe",
            )
            .buckets(ROUND_BUCKETS.to_vec()),
        )?;
        context.registry.register(Box::new(duration.clone()))?;
        Ok(Self {
            redis: redis.clone(),
            managed: ManagedGroups::new(&context.settings.retention.groups),
            sweeper: Sweeper::new(redis, context)?,
            retirement: Retirement::new(redis, context)?,
            dead_letters: DeadLetterLimits::new(redis, context)?,
            retention: Retention::new(redis, context)?,
            metrics,
            duration,
            failures,
        })
    }

    /// One round. A step that fails is counted and logged, and the others still run. It may be dropped at
    /// any time: what it has learned by then is kept, and the next one goes on from there.
    pub(crate) async fn run(&mut self, lease_value: &str) {
        // Observes when it is dropped, with the round or at its end.
        let _timer = self.duration.start_timer();
        if let Err(error) = self.managed.refresh(&self.redis.stream).await {
            self.failures.failed(Step::ReadRegistry, None, &error);
        }
        self.failures.finished(Step::ReadRegistry);
        for group in self.managed.names() {
            if let Err(error) = self.sweeper.sweep(&group, lease_value).await {
                self.failures.failed(Step::Sweep, Some(&group), &error);
            }
            let registered = self.managed.registered(&group);
            if let Err(error) = self.retirement.retire(&group, &registered, lease_value).await {
                self.failures.failed(Step::Retire, Some(&group), &error);
            }
            if let Err(error) = self.dead_letters.enforce(&group, lease_value).await {
                self.failures.failed(Step::BoundDeadLetters, Some(&group), &error);
            }
        }
        self.failures.finished(Step::Sweep);
        self.failures.finished(Step::Retire);
        self.failures.finished(Step::BoundDeadLetters);
        if let Err(error) = self.retention.enforce(lease_value).await {
            self.failures.failed(Step::Trim, None, &error);
        }
        self.failures.finished(Step::Trim);
        self.observe().await;
        self.failures.finished(Step::Observe);
    }

    /// Shows what there is now, or nothing: old figures would pass for new ones.
    async fn observe(&mut self) {
        match observe(&self.redis.stream).await {
            Ok(observation) => {
                for (group, error) in &observation.failed {
                    self.failures.failed(Step::Observe, Some(group), error);
                }
                let exists = |group: &str| observation.groups.iter().any(|there| there.info.name == group);
                self.sweeper.show(exists);
                self.dead_letters.show(exists);
                self.metrics.show(observation);
            }
            Err(error) => {
                self.metrics.clear();
                self.dead_letters.show(|_| false);
                self.failures.failed(Step::Observe, None, &error);
            }
        }
    }

    /// Forgets what only the active reaper may know or show.
    pub(crate) fn stand_down(&mut self) {
        self.metrics.clear();
        self.retirement.forget();
        self.sweeper.forget();
        self.dead_letters.forget();
        self.retention.forget();
    }
}
