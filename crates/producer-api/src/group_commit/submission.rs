//! The events of one request, shared between the request, which waits, and the writer, which settles.

use std::{
    mem,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use service_kit::trace::{Sending, SpanLink};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{Cause, Failure, Outcome, traced};
use crate::dedup::NewEvent;

/// The events of one request and what is known of them.
#[derive(Debug)]
pub(super) struct Submission {
    events: Vec<NewEvent>,
    /// Size of the body they came in: about what they take in memory.
    bytes: usize,
    /// When the request must have its answer.
    deadline: Instant,
    /// The part of the request's trace that sees them to the stream.
    sending: Sending,
    progress: Mutex<Progress>,
    /// Signalled once, when the last outcome is there.
    settled: Notify,
}

/// Parts go out one after the other, so that both counts are a prefix of the events.
#[derive(Debug, Default)]
struct Progress {
    /// Events given to a writer.
    taken: usize,
    /// Outcomes so far, in order.
    outcomes: Vec<Outcome>,
    /// Nobody waits any more: nothing further may be taken.
    given_up: bool,
}

impl Submission {
    pub(super) fn new(
        events: Vec<NewEvent>,
        bytes: usize,
        deadline: Instant,
        sending: Sending,
    ) -> (Arc<Self>, Ticket) {
        debug_assert!(!events.is_empty(), "nobody would ever settle a submission without events");
        let progress = Progress { outcomes: Vec::with_capacity(events.len()), ..Progress::default() };
        let progress = Mutex::new(progress);
        let submission =
            Arc::new(Self { events, bytes, deadline, sending, progress, settled: Notify::new() });
        (Arc::clone(&submission), Ticket(submission))
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The events that no writer has taken.
    pub(super) fn untaken(&self) -> &[NewEvent] {
        &self.events[self.progress().taken..]
    }

    /// Whether nobody waits for the outcomes any more.
    pub(super) fn is_given_up(&self) -> bool {
        self.progress().given_up
    }

    /// Takes the next events, at most `max` of them, for a pipeline; `None` if the request has ended.
    pub(super) fn take(self: Arc<Self>, max: usize) -> Option<Part> {
        let mut progress = self.progress();
        if progress.given_up {
            return None;
        }
        let start = progress.taken;
        let end = self.events.len().min(start + max);
        progress.taken = end;
        drop(progress);
        Some(Part { submission: Some(self), range: start..end })
    }

    /// Adds the outcomes of a part; wakes the request when they were the last.
    fn settle(&self, outcomes: impl Iterator<Item = Outcome>) {
        let mut progress = self.progress();
        progress.outcomes.extend(outcomes);
        if progress.outcomes.len() >= self.events.len() {
            self.settled.notify_one();
        }
    }

    /// After a part failed: the events that were not taken never will be, for the same reason.
    pub(super) fn abandon(&self, cause: Cause) {
        let mut progress = self.progress();
        progress.taken = self.events.len();
        progress.outcomes.resize(self.events.len(), Err(Failure::not_stored(cause)));
        self.settled.notify_one();
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Each critical section leaves the progress consistent, so a panic elsewhere does not spoil it.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's claim to the outcomes of its events. Dropping it gives up what was not yet taken.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Submission>);

impl Ticket {
    /// An outcome for each event, in order, at `deadline` at the latest. What has not been taken by then
    /// is not stored and never will be; what has been taken and not answered is unknown.
    pub(crate) async fn outcomes(self, deadline: Instant) -> Vec<Outcome> {
        // Whether in time or not: the progress tells.
        _ = timeout_at(deadline, self.0.settled.notified()).await;
        let mut progress = self.0.progress();
        progress.given_up = true;
        let taken = progress.taken;
        // A copy if a writer still has events of this request, and will add what it learns.
        let mut outcomes = if progress.outcomes.len() == self.0.events.len() {
            mem::take(&mut progress.outcomes)
        } else {
            progress.outcomes.clone()
        };
        drop(progress);
        outcomes.resize(taken, Err(Failure::unknown(Cause::Deadline)));
        outcomes.resize(self.0.events.len(), Err(Failure::not_stored(Cause::Deadline)));
        traced::tell(&self.0.sending, &outcomes);
        outcomes
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.progress().given_up = true;
    }
}

/// A run of a submission's events that a writer has taken. Every part is settled, at the latest when it is
/// dropped.
#[derive(Debug)]
pub(super) struct Part {
    /// `None` once settled.
    submission: Option<Arc<Submission>>,
    range: Range<usize>,
}

impl Part {
    pub(super) fn events(&self) -> &[NewEvent] {
        match &self.submission {
            Some(submission) => &submission.events[self.range.clone()],
            None => &[],
        }
    }

    /// When the request must have its answer; `None` once settled.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.submission.as_ref().map(|submission| submission.deadline)
    }

    /// What a pipeline that takes this part along is linked to, if the request's trace is recorded.
    pub(super) fn link(&self) -> Option<SpanLink> {
        self.submission.as_ref()?.sending.link()
    }

    /// The bytes that belong to this part, on average.
    pub(super) fn bytes(&self) -> usize {
        let Some(submission) = &self.submission else { return 0 };
        submission.bytes / submission.events.len().max(1) * self.range.len()
    }

    /// Whether this part has the last of the request's events.
    pub(super) fn is_last(&self) -> bool {
        self.submission.as_ref().is_none_or(|submission| self.range.end == submission.events.len())
    }

    /// Gives the events their outcomes, and returns the submission for its next part, if there is one. `Err`
    /// holds why no further part may be written. That a key belongs to another event is no reason: it says nothing of
    /// the keys to come.
    pub(super) fn settle(
        mut self,
        outcomes: impl Iterator<Item = Outcome>,
    ) -> Option<(Arc<Submission>, Result<(), Cause>)> {
        let submission = self.submission.take()?;
        let mut stored = Ok(());
        submission.settle(outcomes.inspect(|outcome| {
            if let Err(failure) = outcome
                && failure.cause != Cause::Conflict
            {
                stored = stored.and(Err(failure.cause));
            }
        }));
        (self.range.end < submission.events.len()).then_some((submission, stored))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(submission) = self.submission.take() {
            let lost = Err(Failure::unknown(Cause::WriterLost));
            submission.settle(self.range.clone().map(|_| lost));
            submission.abandon(Cause::WriterLost);
        }
    }
}
