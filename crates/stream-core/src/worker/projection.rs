//! [`Projection`]: effects in Redis that are applied exactly once, in one script with the acks.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Delivery, WorkerMetrics,
    context::Context,
    failures::Failures,
    process::{Finished, Process, Verdict, panic_text},
};
use crate::{
    DeadReason,
    backoff::Backoff,
    commit::{CommitBatch, Committed},
};

pub use crate::commit::Effects;

/// Turns entries into effects on keys of the stream's slot.
///
/// An entry's effects are applied if, and only if, its ack took it from the pending list, both in one
/// script: however often it is delivered, it counts once.
pub trait Projection: Send + Sync + 'static {
    /// Says what this entry does. Pure: it may be called again for the same entry.
    fn project(&self, delivery: &Delivery, effects: &mut Effects<'_>) -> Result<(), Rejection>;
}

/// An entry that a projection cannot understand. It becomes a dead letter; the rest of its batch goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Rejection {
    /// What is wrong with the entry.
    pub reason: String,
}

/// Commits a [`Projection`] batch by batch.
#[derive(Debug)]
pub(super) struct ProjectionProcess<P> {
    pub(super) projection: P,
    pub(super) batch_max: usize,
    pub(super) metrics: WorkerMetrics,
}

impl<P: Projection> Process for ProjectionProcess<P> {
    fn batch_max(&self) -> usize {
        self.batch_max
    }

    fn runs_max(&self) -> usize {
        // While one batch is being committed the next one gathers.
        1
    }

    async fn run(self: Arc<Self>, context: Arc<Context>, batch: Vec<Delivery>) -> Vec<Finished> {
        let started = Instant::now();
        let mut finished = Vec::with_capacity(batch.len());
        let mut commit = CommitBatch::new(context.stream.key().clone());
        let mut included = Vec::with_capacity(batch.len());
        for delivery in batch {
            match self.include(&mut commit, &delivery) {
                Ok(()) => included.push(delivery),
                Err(verdict) => finished.push(Finished { delivery, verdict }),
            }
        }
        match self.commit(&context, &commit).await {
            Committed::Applied { not_pending } => {
                let verdicts = included.into_iter().enumerate().map(|(at, delivery)| {
                    let verdict =
                        if not_pending.contains(&at) { Verdict::NotPending } else { Verdict::Committed };
                    Finished { delivery, verdict }
                });
                finished.extend(verdicts);
            }
            Committed::Overflow(message) => {
                self.commit_one_by_one(&context, included, message, &mut finished).await;
            }
        }
        self.metrics.handler_seconds.observe(started.elapsed().as_secs_f64());
        finished
    }
}

impl<P: Projection> ProjectionProcess<P> {
    /// Adds an entry and its effects to a commit; an entry that cannot be projected is left out of it.
    fn include(&self, commit: &mut CommitBatch, delivery: &Delivery) -> Result<(), Verdict> {
        let project = || commit.add(delivery.row, |effects| self.projection.project(delivery, effects));
        match catch_unwind(AssertUnwindSafe(project)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(rejection)) => {
                Err(Verdict::Dead { reason: DeadReason::Poison, message: rejection.reason })
            }
            Err(panic) => {
                commit.discard_unfinished();
                let reason = format!("the projection panicked: {}", panic_text(&*panic));
                Err(Verdict::Retry { reason, after: None })
            }
        }
    }

    /// Commits until the server has answered. The batch stays in flight, its leases renewed, meanwhile.
    async fn commit(&self, context: &Context, commit: &CommitBatch) -> Committed {
        let mut backoff = Backoff::new();
        let mut failures = Failures::default();
        let mut maybe_applied = false;
        let never = CancellationToken::new();
        loop {
            match context.stream.commit(&context.group, commit).await {
                Ok(committed) => {
                    context.works(&mut failures, "committing");
                    return match committed {
                        // What is not pending any more was acked by the attempt whose answer did not arrive.
                        Committed::Applied { .. } if maybe_applied => {
                            Committed::Applied { not_pending: Vec::new() }
                        }
                        committed => committed,
                    };
                }
                Err(error) => {
                    maybe_applied |= error.may_have_been_applied();
                    context.failed_vital(&mut failures, "committing", &error);
                }
            }
            backoff.wait(&never).await;
        }
    }

    /// Finds the entry that would overflow a counter: it is dead-lettered, the others are applied.
    async fn commit_one_by_one(
        &self,
        context: &Context,
        batch: Vec<Delivery>,
        message: String,
        finished: &mut Vec<Finished>,
    ) {
        let alone = batch.len() == 1;
        for delivery in batch {
            if alone {
                let verdict = Verdict::Dead { reason: DeadReason::Poison, message: message.clone() };
                finished.push(Finished { delivery, verdict });
                continue;
            }
            let mut commit = CommitBatch::new(context.stream.key().clone());
            let verdict = match self.include(&mut commit, &delivery) {
                Err(verdict) => verdict,
                Ok(()) => match self.commit(context, &commit).await {
                    Committed::Applied { not_pending } if not_pending.is_empty() => Verdict::Committed,
                    Committed::Applied { .. } => Verdict::NotPending,
                    Committed::Overflow(message) => Verdict::Dead { reason: DeadReason::Poison, message },
                },
            };
            finished.push(Finished { delivery, verdict });
        }
    }
}
