//! Group commit: what queued while the last write was in flight goes to Redis as one pipeline.
//!
//! A request [submits](Queue::submit) its events and holds a [`Ticket`] for their outcomes. A few writers
//! take what waits, as much as fits one pipeline, write it and settle every event with an outcome of its own.
//! Nothing waits for company: an idle writer takes a single event at once, and pipelines grow by themselves
//! while the writers are busy.
//!
//! - The events of one request go out in order, and each part only after the one before it was stored
//!   whole. So their IDs are in stream order, and once a part has failed nothing after it is written.
//! - An event with a key is stored once however often it comes: finding the key, or appending and remembering it, is one
//!   step at the server (`stream_core::Dedup`), in the same pipeline as everything else.
//! - Events that must be on replicas or on disk have queues and writers of their own, each writer with its own
//!   connection: the server holds it up until it has confirmed, and nobody else.
//! - Taking events and giving them up exclude each other: a request that ends first (deadline, client gone)
//!   is not written late, and one that is told `stored: no` never is.

mod durable_sink;
mod failure;
mod queue;
mod sink;
mod submission;
#[cfg(test)]
mod tests;
mod traced;
mod writers;

use std::sync::Arc;

pub(crate) use durable_sink::DurableSink;
pub(crate) use failure::{Cause, Failure, Outcome, Stored, Written};
pub(crate) use queue::Queue;
use service_kit::config::Durability;
pub(crate) use sink::StreamSink;
pub(crate) use submission::Ticket;
pub(crate) use writers::Writers;

use self::sink::Sink;
use crate::{admission::Admission, metrics::Metrics};

/// Bounds of the queue and of the pipelines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most events that wait.
    pub(crate) queue_capacity: usize,
    /// Most events of one pipeline.
    pub(crate) pipeline_events: usize,
}

/// Starts a queue of events that wait for the same `durability`, with a writer for each of `sinks`, which appends to it
/// whatever is submitted.
pub(crate) fn start<S: Sink>(
    writers: &mut Writers,
    durability: Durability,
    sinks: impl IntoIterator<Item = S>,
    limits: &Limits,
    admission: &Admission,
    metrics: &Metrics,
) -> Arc<Queue> {
    let (capacity, pipeline_events) = (limits.queue_capacity, limits.pipeline_events);
    let queue = Queue::new(durability, capacity, pipeline_events, admission.clone(), metrics.clone());
    let queue = Arc::new(queue);
    writers.start(&queue, sinks, admission, metrics);
    queue
}
