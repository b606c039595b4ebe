//! [`Context`]: what every part of one consumer knows.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    WorkerMetrics, WorkerSettings, failures::Failures, health::WorkerHealth, isolation::Isolation,
    levers::Levers, trace::Tracer,
};
use crate::{ClaimRequest, Error, EventStream, StartAt, StreamId};

/// One consumer's stream, names, settings and metrics.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) stream: EventStream,
    pub(super) group: Arc<str>,
    pub(super) consumer: Arc<str>,
    pub(super) settings: Arc<WorkerSettings>,
    pub(super) metrics: WorkerMetrics,
    /// Shared by all consumers of the worker.
    pub(super) health: WorkerHealth,
    /// Shared by all consumers of the worker.
    pub(super) isolation: Isolation,
    /// What operators move.
    pub(super) levers: Arc<Levers>,
    /// Who follows deliveries, if anybody does.
    pub(super) tracer: Option<Arc<dyn Tracer>>,
}

impl Context {
    /// The same consumer of the same group, for the stream of entries that were sent back to it. A stream of exceptions:
    /// small bounds will do.
    pub(super) fn redrive(&self) -> Self {
        Self {
            stream: self.stream.redrive(&self.group),
            group: Arc::clone(&self.group),
            consumer: Arc::clone(&self.consumer),
            settings: Arc::new(self.settings.redrive()),
            metrics: self.metrics.clone(),
            health: self.health.clone(),
            isolation: self.isolation.clone(),
            levers: Arc::clone(&self.levers),
            tracer: self.tracer.clone(),
        }
    }

    /// Whether this one of the process's consumers records the group's position.
    pub(super) fn records_position(&self) -> bool {
        !self.is_redrive() && self.levers.records_position.load(Ordering::Relaxed)
    }

    /// A claim of this consumer's, of `owner`'s rows or of whoever's have been idle for long enough.
    pub(super) fn claim_request<'a>(
        &'a self,
        owner: Option<&'a str>,
        suspects_allowed: usize,
    ) -> ClaimRequest<'a> {
        let settings = &self.settings;
        ClaimRequest {
            group: &self.group,
            consumer: &self.consumer,
            min_idle: if owner.is_some() { Duration::ZERO } else { settings.claim_min_idle },
            after: None,
            page: 0,
            max_deliveries: settings.max_deliveries,
            // A claim counts: a row delivered one time less is a suspect once it is claimed.
            suspect_deliveries: settings.suspect_deliveries() - 1,
            suspects_allowed,
            owner,
            only: &[],
            again: false,
        }
    }

    /// Whether this is the consumer's part in a redrive stream, which exists only once something has been redriven.
    pub(super) fn is_redrive(&self) -> bool {
        self.stream.key().is_redrive()
    }

    /// Counts and logs a failed Redis operation of this consumer.
    pub(super) fn report(&self, doing: &'static str, error: &Error) {
        self.metrics.redis_error(error.kind());
        if self.health.may_log(doing, Some(error.kind()), Instant::now()) {
            tracing::warn!(group = %self.group, consumer = %self.consumer, %error, "{doing}; trying again");
        }
    }

    /// Counts a failure, and logs it if its series is due a line.
    pub(super) fn failed(&self, series: &mut Failures, doing: &'static str, error: &Error) {
        self.metrics.redis_error(error.kind());
        let now = Instant::now();
        if let Some(attempts) = series.failed(now)
            && self.health.may_log(doing, Some(error.kind()), now)
        {
            tracing::warn!(
                group = %self.group, consumer = %self.consumer, attempts, %error,
                "{doing} failed; trying again"
            );
        }
    }

    /// The same for an operation without which the worker does not do what it is for: reading and settling.
    pub(super) fn failed_vital(&self, series: &mut Failures, doing: &'static str, error: &Error) {
        series.show(&self.health, doing, error);
        self.failed(series, doing, error);
    }

    /// Ends a series of failures, with a line if there was one.
    pub(super) fn works(&self, series: &mut Failures, doing: &'static str) {
        if let Some(attempts) = series.recovered()
            && self.health.may_log(doing, None, Instant::now())
        {
            tracing::info!(group = %self.group, consumer = %self.consumer, attempts, "{doing} works again");
        }
    }

    /// Creates the group where it left off. Harmless if it exists. `existed` says that it was known to.
    pub(super) async fn restore_group(&self, existed: bool) -> Result<(), Error> {
        let (created, position) = self.stream.restore_group(&self.group).await?;
        if created && (existed || position != StreamId::MIN) {
            self.metrics.group_restores.inc();
            tracing::warn!(group = %self.group, %position, "the consumer group was gone; recreated at its recorded position");
        }
        // A recreated group knows no consumers; this one is to be seen before its first delivery.
        self.stream.create_consumer(&self.group, &self.consumer).await
    }
    /// Creates the group of a redrive stream that holds entries: nobody would see them. Whatever is settled there is
    /// deleted, so it begins at the beginning.
    pub(super) async fn restore_redrive_group(&self) -> Result<(), Error> {
        if self.stream.length().await? > 0
            && self.stream.ensure_group(&self.group, StartAt::Beginning).await?
        {
            self.metrics.group_restores.inc();
            let stream = self.stream.key();
            tracing::warn!(group = %self.group, %stream, "the group of the redrive stream was gone; recreated");
        }
        Ok(())
    }
}
