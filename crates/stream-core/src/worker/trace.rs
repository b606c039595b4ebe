//! [`Tracer`]: how a process follows deliveries from one process to the next, with whatever it traces. This crate knows
//! no tracing system: it says when a run begins, keeps it current while the handler is polled, and says how it ended.

use std::{
    fmt::Debug,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use super::Delivery;
use crate::{DeadReason, StreamKey};

/// Follows some of the deliveries of a worker; given to it with [`Worker::with_tracer`](crate::Worker::with_tracer).
///
/// Nothing is followed twice: every attempt at an entry is a run of its own.
pub trait Tracer: Debug + Send + Sync + 'static {
    /// A handler is about to run for this delivery, or a projection to be committed for these. `None`, if none of them
    /// is followed: then nothing more is told of them.
    ///
    /// Asked for every run, so it must be cheap, and must not block.
    fn begin(&self, run: &Run<'_>) -> Option<Arc<dyn RunSpan>>;
}

/// What is about to be handled.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Run<'a> {
    /// The stream that the deliveries were read from: the group's redrive stream, if they were sent back to it.
    pub stream: &'a StreamKey,
    /// The deliveries, at least one, all of one group and consumer.
    pub deliveries: &'a [Delivery],
    /// Whether they are handled as one batch, however many they happen to be.
    pub batch: bool,
}

impl<'a> Run<'a> {
    pub(super) const fn one(stream: &'a StreamKey, delivery: &'a Delivery) -> Self {
        Self { stream, deliveries: std::slice::from_ref(delivery), batch: false }
    }

    pub(super) const fn batch(stream: &'a StreamKey, deliveries: &'a [Delivery]) -> Self {
        Self { stream, deliveries, batch: true }
    }
}

/// A run that is followed. Dropped before [`ended`](Self::ended), it was abandoned.
pub trait RunSpan: Debug + Send + Sync + 'static {
    /// Calls `poll`, with this run as the current one: what is logged meanwhile belongs to it.
    fn within(&self, poll: &mut dyn FnMut());

    /// The run is over; what has become of each delivery.
    fn ended(&self, handled: &mut dyn Iterator<Item = (&Delivery, Handled<'_>)>);

    /// What became of a delivery is now written to Redis.
    fn settling(&self, delivery: &Delivery, settlement: Settlement) -> Box<dyn SettleSpan>;
}

/// A settlement under way. Dropped before it is settled, it was abandoned: the entry is delivered again.
pub trait SettleSpan: Debug + Send + Sync + 'static {
    /// Redis has answered.
    fn settled(self: Box<Self>, outcome: SettleOutcome);
}

/// How the handling of a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handled<'a> {
    /// It is to be acked.
    Ack,
    /// It was acked together with its effects.
    Committed,
    /// It was not pending any more: somebody else has settled it.
    NotPending,
    /// It failed and will be delivered again.
    Retry {
        /// Why.
        reason: &'a str,
    },
    /// It waits for a better time; this delivery does not count.
    Postpone {
        /// Why.
        reason: &'a str,
    },
    /// It failed for good and becomes a dead letter.
    DeadLetter {
        /// The kind of failure.
        reason: DeadReason,
        /// What happened.
        message: &'a str,
    },
}

/// What is written to settle a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settlement {
    /// An ack.
    Ack,
    /// A dead letter, together with the ack.
    DeadLetter(DeadReason),
}

/// What came of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettleOutcome {
    /// It was acked.
    Acked,
    /// It is a dead letter.
    DeadLettered,
    /// It was not this consumer's any more: somebody else settles it, or has.
    OwnershipLost,
    /// It was acked together with others, of which some were not pending any more: perhaps this one.
    Unclear,
}

/// Polls `future` within `span`, if there is one.
pub(super) async fn within<F: Future>(span: Option<&Arc<dyn RunSpan>>, future: F) -> F::Output {
    match span {
        None => future.await,
        Some(span) => Within { span, future: pin!(future) }.await,
    }
}

struct Within<'a, F> {
    span: &'a Arc<dyn RunSpan>,
    future: Pin<&'a mut F>,
}

impl<F: Future> Future for Within<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let span = self.span;
        let future = &mut self.future;
        let mut polled = Poll::Pending;
        span.within(&mut || polled = future.as_mut().poll(context));
        polled
    }
}
