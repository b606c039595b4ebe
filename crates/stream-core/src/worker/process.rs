//! [`Process`]: how started deliveries become verdicts. One form runs handlers, one commits projections.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::time::{Instant, timeout};

use super::{
    Delivery, Handled, Handler, Outcome, Run, RunSpan, WorkerMetrics, context::Context, trace::within,
};
use crate::DeadReason;

/// What the engine has to do about a finished delivery.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Ack it.
    Ack,
    /// Nothing: it was acked together with its effects.
    Committed,
    /// Nothing: it was not pending any more when its effects were to be applied.
    NotPending,
    /// Deliver it again.
    Retry {
        reason: String,
        /// Wanted by the handler.
        after: Option<Duration>,
    },
    /// Deliver it again, not counting this delivery.
    Postpone { reason: String, after: Duration },
    /// Make it a dead letter.
    Dead { reason: DeadReason, message: String },
}

/// A delivery and what is to be done about it.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) delivery: Delivery,
    pub(super) verdict: Verdict,
    /// What follows it, if there is anything left to settle.
    pub(super) span: Option<Arc<dyn RunSpan>>,
}

impl Finished {
    /// A delivery that nobody follows.
    pub(super) const fn new(delivery: Delivery, verdict: Verdict) -> Self {
        Self { delivery, verdict, span: None }
    }

    /// It as whoever follows it is told.
    pub(super) fn told(&self, max_deliveries: u64) -> (&Delivery, Handled<'_>) {
        (&self.delivery, self.verdict.told(self.delivery.deliveries >= max_deliveries))
    }
}

impl Verdict {
    fn told(&self, is_last_attempt: bool) -> Handled<'_> {
        match self {
            Self::Ack => Handled::Ack,
            Self::Committed => Handled::Committed,
            Self::NotPending => Handled::NotPending,
            Self::Retry { reason, .. } if is_last_attempt => {
                Handled::DeadLetter { reason: DeadReason::MaxDeliveries, message: reason }
            }
            Self::Retry { reason, .. } => Handled::Retry { reason },
            Self::Postpone { reason, .. } => Handled::Postpone { reason },
            Self::Dead { reason, message } => Handled::DeadLetter { reason: *reason, message },
        }
    }
}

/// Turns deliveries into verdicts.
pub(super) trait Process: Send + Sync + 'static {
    /// Deliveries that one run takes at most.
    fn batch_max(&self) -> usize;
    /// Runs at the same time at most.
    fn runs_max(&self) -> usize;
    /// Handles a batch of the stream that `context` knows. Its future may be dropped when a drain overruns.
    fn run(
        self: Arc<Self>,
        context: Arc<Context>,
        batch: Vec<Delivery>,
    ) -> impl Future<Output = Vec<Finished>> + Send;
}

/// Runs a [`Handler`] for each delivery.
#[derive(Debug)]
pub(super) struct HandlerProcess<H> {
    pub(super) handler: H,
    pub(super) concurrency: usize,
    pub(super) timeout: Duration,
    pub(super) metrics: WorkerMetrics,
}

impl<H: Handler> Process for HandlerProcess<H> {
    fn batch_max(&self) -> usize {
        1
    }

    fn runs_max(&self) -> usize {
        self.concurrency
    }

    async fn run(self: Arc<Self>, context: Arc<Context>, batch: Vec<Delivery>) -> Vec<Finished> {
        let mut finished = Vec::with_capacity(batch.len());
        for delivery in batch {
            let tracer = context.tracer.as_deref();
            let span = tracer.and_then(|tracer| tracer.begin(&Run::one(context.stream.key(), &delivery)));
            let started = Instant::now();
            // Called, polled and dropped in here: each of the three may panic.
            let handled =
                async { timeout(self.timeout, async { self.handler.handle(&delivery).await }).await };
            let outcome = match AssertUnwindSafe(within(span.as_ref(), handled)).catch_unwind().await {
                Ok(Ok(outcome)) => outcome,
                Err(panic) => Outcome::Retry {
                    reason: format!("the handler panicked: {}", panic_text(&*panic)),
                    after: None,
                },
                Ok(Err(_)) => Outcome::Retry {
                    reason: format!("the handler took longer than {:?}", self.timeout),
                    after: None,
                },
            };
            self.metrics.handler_seconds.observe(started.elapsed().as_secs_f64());
            let ended = Finished { delivery, verdict: outcome.into(), span };
            if let Some(span) = &ended.span {
                span.ended(&mut std::iter::once(ended.told(context.settings.max_deliveries)));
            }
            finished.push(ended);
        }
        finished
    }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ack => Self::Ack,
            Outcome::Retry { reason, after } => Self::Retry { reason, after },
            Outcome::Postpone { reason, after } => Self::Postpone { reason, after },
            Outcome::Poison { reason } => Self::Dead { reason: DeadReason::Poison, message: reason },
            Outcome::DeadLetter { reason } => Self::Dead { reason: DeadReason::Rejected, message: reason },
        }
    }
}

/// What a panic said, if it said anything.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
