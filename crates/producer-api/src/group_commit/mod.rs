//! Group commit: what queued while the last write was in flight goes to Redis as one pipeline.
//!
//! A request [submits](Queue::submit) its events and holds a [`Ticket`] for their outcomes. A few writers
//! take what waits, as much as fits one pipeline, write it and settle every event with an outcome of its own.
//! Nothing waits for company: an idle writer takes a single event at once, and pipelines grow by themselves
//! while the writers are busy.
//!
//! - The events of one request go out in order, and each part only after the one before it was stored
//!   whole. So their IDs are in stream order, and once a part has failed nothing after it is written.
//! - Taking events and giving them up exclude each other: a request that ends first (deadline, client gone)
//!   is not written late, and one that is told `stored: no` never is.

mod failure;
mod queue;
mod sink;
mod submission;
#[cfg(test)]
mod tests;
mod traced;
mod writers;

use std::sync::Arc;

pub(crate) use failure::{Cause, Failure, Outcome, Stored};
pub(crate) use queue::Queue;
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
    /// Most pipelines at the same time.
    pub(crate) pipelines_in_flight: usize,
}

/// Starts the writers, which append to `sink` whatever is submitted to the queue.
pub(crate) fn start(
    sink: &impl Sink,
    limits: &Limits,
    admission: &Admission,
    metrics: &Metrics,
) -> (Arc<Queue>, Writers) {
    let queue = Queue::new(limits.queue_capacity, limits.pipeline_events, admission.clone(), metrics.clone());
    let queue = Arc::new(queue);
    let writers = Writers::start(&queue, sink, limits.pipelines_in_flight, admission, metrics);
    (queue, writers)
}
