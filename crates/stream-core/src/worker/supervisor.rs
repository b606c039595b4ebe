//! [`Worker`]: the consumers of one group in one process.

use std::sync::Arc;

use prometheus::Registry;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    DrainReport, Handler, Projection, WorkerControl, WorkerMetrics, WorkerSettings,
    control::Command,
    crew::{Crew, Plan},
    health::WorkerHealth,
    process::{HandlerProcess, Process},
    projection::{ProjectionProcess, SharedGenerations},
    rebuilder::Rebuilder,
    trace::Tracer,
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
    ready: watch::Sender<ConsumersReady>,
    control: WorkerControl,
    commands: mpsc::Receiver<Command>,
    tracer: Option<Arc<dyn Tracer>>,
}

/// How many consumers hold their names, and how many there are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConsumersReady {
    /// Consumers that hold their names.
    pub ready: usize,
    /// Consumers of the settings and added ones, less those that were removed.
    pub wanted: usize,
}

impl ConsumersReady {
    /// Whether all hold their names.
    pub const fn is_ready(self) -> bool {
        self.ready >= self.wanted
    }
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
        let ready = watch::Sender::new(ConsumersReady { ready: 0, wanted: settings.consumers.len() });
        let (control, commands) = WorkerControl::new();
        let (group, settings, health) = (group.into(), Arc::new(settings), WorkerHealth::default());
        let tracer = None;
        Ok(Self { connector, stream, group, settings, metrics, health, ready, control, commands, tracer })
    }

    /// Lets `tracer` follow the deliveries.
    #[must_use]
    pub fn with_tracer(mut self, tracer: Arc<dyn Tracer>) -> Self {
        self.tracer = Some(tracer);
        self
    }

    /// How many of the consumers hold their names: the worker is ready when all do.
    pub fn consumers_ready(&self) -> watch::Receiver<ConsumersReady> {
        self.ready.subscribe()
    }

    /// Whether the consumers can read and settle.
    pub fn health(&self) -> WorkerHealth {
        self.health.clone()
    }

    /// The worker's levers, for as long as it runs.
    pub fn control(&self) -> WorkerControl {
        self.control.clone()
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
        // It ends with the consumers, whatever ends them; and they with it, should it panic: nobody would rebuild.
        let (stop_rebuilding, stop) = (CancellationToken::new(), shutdown.child_token());
        let rebuilding = async {
            let _stops = stop.clone().drop_guard();
            tokio::spawn(rebuilder.run(stop_rebuilding.clone())).await
        };
        let consuming = async {
            let _stops = stop_rebuilding.clone().drop_guard();
            self.run(process, stop.clone()).await
        };
        match tokio::join!(consuming, rebuilding) {
            (drained, Err(error)) if error.is_panic() => drained.and(Err(WorkerError::Panicked)),
            (drained, _) => drained,
        }
    }

    async fn run<P: Process>(
        self,
        process: P,
        shutdown: CancellationToken,
    ) -> Result<DrainReport, WorkerError> {
        let Self { connector, stream, group, settings, metrics, health, ready, control: _, commands, tracer } =
            self;
        let process = Arc::new(process);
        let plan = Plan { connector, stream, group, settings, metrics, health, ready, process, tracer };
        // On the heap: callers hold it in futures of their own.
        Box::pin(Crew::new(plan, &shutdown).run(commands)).await
    }
}
