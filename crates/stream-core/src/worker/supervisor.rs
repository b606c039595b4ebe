//! [`Worker`]: the consumers of one group in one process.

use std::sync::Arc;

use prometheus::Registry;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    DrainReport, Handler, Projection, WorkerMetrics, WorkerSettings,
    consumer::run_consumer,
    context::Context,
    health::WorkerHealth,
    isolation::Isolation,
    process::{HandlerProcess, Process},
    projection::{ProjectionProcess, SharedGenerations},
    rebuilder::Rebuilder,
};
use crate::{Connector, Error, EventStream, Holder, NameError};

/// A worker could not be set up, or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// A consumer's name is held by another process.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The connection cannot be made at all.
    #[error(transparent)]
    Connection(#[from] Error),
    /// No consumer was named.
    #[error("a worker needs at least one consumer name")]
    NoConsumers,
    /// The metrics are registered already.
    #[error("the worker's metrics cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A consumer's task panicked.
    #[error("a consumer ended in a panic")]
    Panicked,
}

/// Consumes one group of a stream with one or more consumers, each with a blocking connection of its own.
#[derive(Debug)]
pub struct Worker {
    connector: Connector,
    stream: EventStream,
    group: Arc<str>,
    settings: Arc<WorkerSettings>,
    metrics: WorkerMetrics,
    health: WorkerHealth,
    ready: watch::Sender<usize>,
}

impl Worker {
    /// A worker for `group`, reading what `stream` holds over connections of `connector`. Nothing is sent
    /// before it runs.
    pub fn new(
        connector: Connector,
        stream: EventStream,
        group: &str,
        settings: WorkerSettings,
        registry: &Registry,
    ) -> Result<Self, WorkerError> {
        if settings.consumers.is_empty() {
            return Err(WorkerError::NoConsumers);
        }
        let metrics = WorkerMetrics::register(registry, group)?;
        let (ready, _) = watch::channel(0);
        let (group, settings, health) = (group.into(), Arc::new(settings), WorkerHealth::default());
        Ok(Self { connector, stream, group, settings, metrics, health, ready })
    }

    /// How many of the consumers hold their names: the worker is ready when all do.
    pub fn consumers_ready(&self) -> watch::Receiver<usize> {
        self.ready.subscribe()
    }

    /// Whether the consumers can read and settle.
    pub fn health(&self) -> WorkerHealth {
        self.health.clone()
    }

    /// Runs `handler` for every delivery until `shutdown`, then drains. Waits for Redis as long as it
    /// takes; ends early only if a consumer's name is held by another living process.
    pub async fn run_handler(
        self,
        handler: impl Handler,
        shutdown: CancellationToken,
    ) -> Result<DrainReport, WorkerError> {
        let process = HandlerProcess {
            handler,
            concurrency: self.settings.concurrency.max(1),
            timeout: self.settings.handler_timeout,
            metrics: self.metrics.clone(),
        };
        self.run(process, shutdown).await
    }

    /// Commits `projection` for every delivery, exactly once, in batches of at most `batch_max`, until
    /// `shutdown`, then drains. Meanwhile it also does the rebuilds that somebody asks for
    /// ([`EventStream::request_rebuild`]), unless another process does.
    pub async fn run_projection(
        self,
        projection: impl Projection,
        batch_max: usize,
        shutdown: CancellationToken,
    ) -> Result<DrainReport, WorkerError> {
        let projection = Arc::new(projection);
        let rebuilder = Rebuilder::new(
            // A connection of its own: pages of history delay no claim, lease or commit.
            EventStream::new(self.connector.commands()?, self.stream.key().clone()),
            Arc::clone(&self.group),
            Arc::clone(&projection),
            &Holder::current(&self.settings.host, &self.settings.advertise),
        );
        let process = ProjectionProcess {
            projection,
            batch_max: batch_max.max(1),
            generations: SharedGenerations::default(),
            metrics: self.metrics.clone(),
        };
        // It ends with the consumers, whatever ends them.
        let stop_rebuilding = CancellationToken::new();
        let rebuilding = tokio::spawn(rebuilder.run(stop_rebuilding.clone()));
        let drained = {
            let _stops = stop_rebuilding.drop_guard();
            self.run(process, shutdown).await
        };
        match rebuilding.await {
            Err(error) if error.is_panic() => drained.and(Err(WorkerError::Panicked)),
            _ => drained,
        }
    }

    async fn run<P: Process>(
        self,
        process: P,
        shutdown: CancellationToken,
    ) -> Result<DrainReport, WorkerError> {
        // One consumer that cannot go on stops the others, in order.
        let shutdown = shutdown.child_token();
        let process = Arc::new(process);
        let isolation = Isolation::new();
        let mut consumers = JoinSet::new();
        for (index, name) in self.settings.consumers.iter().enumerate() {
            let context = Arc::new(Context {
                stream: self.stream.clone(),
                group: Arc::clone(&self.group),
                consumer: name.as_str().into(),
                settings: Arc::clone(&self.settings),
                metrics: self.metrics.clone(),
                health: self.health.clone(),
                isolation: isolation.clone(),
                records_position: index == 0,
            });
            let (connector, process) = (self.connector.clone(), Arc::clone(&process));
            consumers.spawn(run_consumer(context, connector, process, self.ready.clone(), shutdown.clone()));
        }
        let mut total = DrainReport::default();
        let mut failure = None;
        while let Some(result) = consumers.join_next().await {
            match result {
                Ok(Ok(report)) => total = total.plus(report),
                Ok(Err(error)) => {
                    shutdown.cancel();
                    failure.get_or_insert(WorkerError::Name(error));
                }
                Err(_) => {
                    shutdown.cancel();
                    failure.get_or_insert(WorkerError::Panicked);
                }
            }
        }
        failure.map_or(Ok(total), Err)
    }
}
