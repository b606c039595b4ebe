//! [`Projection`]: effects in Redis that are applied exactly once, in one script with the acks.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, RwLock},
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Delivery, WorkerMetrics,
    context::Context,
    failures::Failures,
    process::{Finished, Process, Verdict, panic_text},
    trace::{Run, RunSpan},
};
use crate::{
    DeadReason, Effects,
    backoff::Backoff,
    commit::{CommitBatch, Committed, Generations, NotAdded},
};

/// Turns entries into effects on keys of the stream's slot.
///
/// An entry's effects are applied if, and only if, its ack took it from the pending list, both in one
/// script: however often it is delivered, it counts once.
pub trait Projection: Send + Sync + 'static {
    /// Says what this entry does. Pure: it may be called again for the same entry, and is for each entry that there has
    /// been when the projection is rebuilt.
    fn project(&self, delivery: &Delivery, effects: &mut Effects<'_>) -> Result<(), Rejection>;

    /// What the names of its keys begin with, such as `["analytics:"]`: everything there belongs to it alone, and is
    /// deleted when a rebuilt projection has taken its place. A projection that does not say cannot be rebuilt.
    fn key_prefixes(&self) -> &[&str] {
        &[]
    }
}

/// An entry that a projection cannot understand. It becomes a dead letter; the rest of its batch goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Rejection {
    /// What is wrong with the entry.
    pub reason: String,
}

/// The generations of the projection as a commit was last told: shared by the consumers of a process.
#[derive(Debug, Default)]
pub(super) struct SharedGenerations(RwLock<Generations>);

impl SharedGenerations {
    fn get(&self) -> Generations {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Should an answer overtake a newer one, the next commit is told again.
    fn set(&self, told: Generations) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = told;
    }
}

/// Commits a [`Projection`] batch by batch.
#[derive(Debug)]
pub(super) struct ProjectionProcess<P> {
    pub(super) projection: Arc<P>,
    pub(super) batch_max: usize,
    pub(super) generations: SharedGenerations,
    pub(super) metrics: WorkerMetrics,
}

/// A delivery in a commit, and what is wrong with it if the projection rejects it.
type Included = (Delivery, Option<String>);

impl<P: Projection> Process for ProjectionProcess<P> {
    fn batch_max(&self) -> usize {
        self.batch_max
    }

    fn runs_max(&self) -> usize {
        // While one batch is being committed the next one gathers.
        1
    }

    async fn run(self: Arc<Self>, context: Arc<Context>, batch: Vec<Delivery>) -> Vec<Finished> {
        let tracer = context.tracer.as_deref();
        let span = tracer.and_then(|tracer| tracer.begin(&Run::batch(context.stream.key(), &batch)));
        let started = Instant::now();
        let mut finished = Vec::with_capacity(batch.len());
        let mut commit = CommitBatch::new();
        let mut included = Vec::with_capacity(batch.len());
        for delivery in batch {
            match self.include(&mut commit, &delivery) {
                Ok(rejection) => included.push((delivery, rejection)),
                Err(verdict) => finished.push(Finished::new(delivery, verdict)),
            }
        }
        match self.commit(&context, &commit).await {
            Settled::Applied { not_pending, rejected } => {
                let verdicts = included.into_iter().enumerate().map(|(at, (delivery, rejection))| {
                    let verdict = verdict(rejection, not_pending.contains(&at), rejected.contains(&at));
                    Finished::new(delivery, verdict)
                });
                finished.extend(verdicts);
            }
            Settled::Overflow(message) => {
                self.commit_one_by_one(&context, included, message, &mut finished).await;
            }
        }
        self.metrics.handler_seconds.observe(started.elapsed().as_secs_f64());
        if let Some(span) = span {
            follow(&span, &mut finished, context.settings.max_deliveries);
        }
        finished
    }
}

/// Tells who follows the batch what has become of it, and of what is still to be settled.
fn follow(span: &Arc<dyn RunSpan>, finished: &mut [Finished], max_deliveries: u64) {
    span.ended(&mut finished.iter().map(|finished| finished.told(max_deliveries)));
    for Finished { verdict, span: follows, .. } in finished {
        if !matches!(verdict, Verdict::Committed | Verdict::NotPending) {
            *follows = Some(Arc::clone(span));
        }
    }
}

/// An answered commit.
enum Settled {
    Applied { not_pending: Vec<usize>, rejected: Vec<usize> },
    Overflow(String),
}

/// What is to be done about an entry of a commit that was applied.
fn verdict(rejection: Option<String>, not_pending: bool, rejected: bool) -> Verdict {
    match rejection {
        Some(message) if rejected => Verdict::Dead { reason: DeadReason::Poison, message },
        // A rejected entry that was settled before has been acked: it counts as it did.
        _ if not_pending => Verdict::NotPending,
        _ => Verdict::Committed,
    }
}

impl<P: Projection> ProjectionProcess<P> {
    /// Adds an entry to a commit, with its effects or as rejected; one that cannot be projected is left out of it.
    fn include(&self, commit: &mut CommitBatch, delivery: &Delivery) -> Result<Option<String>, Verdict> {
        let (row, id) = (delivery.row, delivery.id);
        let project = || commit.add(row, id, |effects| self.projection.project(delivery, effects));
        match catch_unwind(AssertUnwindSafe(project)) {
            Ok(Ok(())) => Ok(None),
            Ok(Err(NotAdded::Rejected(rejection))) => {
                commit.discard_unfinished();
                commit.add_rejected(row, id);
                Ok(Some(rejection.reason))
            }
            Ok(Err(NotAdded::ReservedKey(key))) => {
                let reason = format!("the projection writes to {key}, a key of the pipeline's own");
                Err(Verdict::Retry { reason, after: None })
            }
            Err(panic) => {
                commit.discard_unfinished();
                let reason = format!("the projection panicked: {}", panic_text(&*panic));
                Err(Verdict::Retry { reason, after: None })
            }
        }
    }

    /// Commits until the server has answered. The batch stays in flight, its leases renewed, meanwhile.
    async fn commit(&self, context: &Context, commit: &CommitBatch) -> Settled {
        let mut backoff = Backoff::new();
        let mut failures = Failures::default();
        let mut maybe_applied = false;
        let never = CancellationToken::new();
        loop {
            match context.stream.commit(&context.group, commit, self.generations.get()).await {
                // Nothing was written: once more, with the keys of the generations that there are now.
                Ok(Committed::Moved(generations)) => {
                    self.generations.set(generations);
                    continue;
                }
                Ok(committed) => {
                    context.works(&mut failures, "committing");
                    return match committed {
                        // What is not pending any more was acked by the attempt whose answer did not arrive.
                        Committed::Applied { rejected, .. } if maybe_applied => {
                            Settled::Applied { not_pending: Vec::new(), rejected }
                        }
                        Committed::Applied { not_pending, rejected } => {
                            Settled::Applied { not_pending, rejected }
                        }
                        Committed::Overflow(message) => Settled::Overflow(message),
                        Committed::Moved(_) => continue,
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
        batch: Vec<Included>,
        message: String,
        finished: &mut Vec<Finished>,
    ) {
        let alone = batch.len() == 1;
        for (delivery, _) in batch {
            if alone {
                let verdict = Verdict::Dead { reason: DeadReason::Poison, message: message.clone() };
                finished.push(Finished::new(delivery, verdict));
                continue;
            }
            let mut commit = CommitBatch::new();
            let verdict = match self.include(&mut commit, &delivery) {
                Err(verdict) => verdict,
                Ok(rejection) => match self.commit(context, &commit).await {
                    Settled::Applied { not_pending, rejected } => {
                        verdict(rejection, !not_pending.is_empty(), !rejected.is_empty())
                    }
                    Settled::Overflow(message) => Verdict::Dead { reason: DeadReason::Poison, message },
                },
            };
            finished.push(Finished::new(delivery, verdict));
        }
    }
}
