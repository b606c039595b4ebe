//! What every request handler shares.

use std::{sync::Arc, time::Duration};

use order_events::EventTypes;
use service_kit::config::Durability;
use stream_core::EventStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{admission::Admission, group_commit::Queue, http::NdjsonLimits, metrics::Metrics, tail::Tails};

/// Bounds of one request.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Most bytes of a body.
    pub(crate) body_bytes: usize,
    /// Longest time until the client has its answer.
    pub(crate) request_deadline: Duration,
    /// And of NDJSON requests, which have no size and no deadline.
    pub(crate) ndjson: NdjsonLimits,
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
pub(crate) struct App(Arc<Parts>);

/// What an [`App`] is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) stream: EventStream,
    pub(crate) queues: Queues,
    pub(crate) admission: Admission,
    pub(crate) tails: Tails,
    pub(crate) types: EventTypes,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    pub(crate) shutdown: CancellationToken,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
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

    /// The live tail.
    pub(crate) fn tails(&self) -> &Tails {
        &self.0.tails
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

    /// Bounds of NDJSON requests.
    pub(crate) fn ndjson(&self) -> &NdjsonLimits {
        &self.0.limits.ndjson
    }

    /// Cancelled when the service is to end: what would go on for long ends by itself.
    pub(crate) fn shutdown(&self) -> &CancellationToken {
        &self.0.shutdown
    }

    /// When a request that came in now must have its answer.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.0.limits.request_deadline
    }
}
