//! What every request handler shares.

use std::{sync::Arc, time::Duration};

use order_events::EventTypes;
use service_kit::config::Durability;
use stream_core::EventStream;
use tokio::time::Instant;

use crate::{admission::Admission, group_commit::Queue, metrics::Metrics};

/// Bounds of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most bytes of a body.
    pub(crate) body_bytes: usize,
    /// Longest time until the client has its answer.
    pub(crate) request_deadline: Duration,
}

/// Where events wait to be written together: with those that wait for the same.
#[derive(Debug, Clone)]
pub(crate) struct Queues {
    /// What a request waits for that does not say.
    pub(crate) default: Durability,
    pub(crate) plain: Arc<Queue>,
    pub(crate) replica: Arc<Queue>,
    pub(crate) fsync: Arc<Queue>,
}

/// The state of the router. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    stream: EventStream,
    queues: Queues,
    admission: Admission,
    types: EventTypes,
    metrics: Metrics,
    limits: Limits,
}

impl App {
    pub(crate) fn new(
        stream: EventStream,
        queues: Queues,
        admission: Admission,
        types: EventTypes,
        metrics: Metrics,
        limits: Limits,
    ) -> Self {
        Self(Arc::new(Shared { stream, queues, admission, types, metrics, limits }))
    }

    /// The stream, for reading; everything written goes through a [queue](Self::queue).
    pub(crate) fn stream(&self) -> &EventStream {
        &self.0.stream
    }

    /// Where events wait to be written together.
    pub(crate) fn queue(&self, durability: Durability) -> &Queue {
        let queues = &self.0.queues;
        match durability {
            Durability::None => &queues.plain,
            Durability::Replica => &queues.replica,
            Durability::Fsync => &queues.fsync,
        }
    }

    /// What a request waits for that does not say.
    pub(crate) fn durability(&self) -> Durability {
        self.0.queues.default
    }

    /// Whether events are taken.
    pub(crate) fn admission(&self) -> &Admission {
        &self.0.admission
    }

    /// The types that may be sent.
    pub(crate) fn types(&self) -> &EventTypes {
        &self.0.types
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Most bytes of a body.
    pub(crate) fn body_limit_bytes(&self) -> usize {
        self.0.limits.body_bytes
    }

    /// When a request that came in now must have its answer.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.0.limits.request_deadline
    }
}
