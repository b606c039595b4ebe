//! The bounded queue of submissions that wait to be written.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use service_kit::{config::Durability, trace::Sending};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{
    Cause, Failure, Ticket,
    submission::{Part, Submission},
    traced,
};
use crate::{
    admission::Admission,
    dedup::NewEvent,
    metrics::{EventOutcome, Metrics},
};

/// Most bytes of bodies that wait, whatever their number of events: with events of the largest size, the
/// event capacity alone would let the queue grow to gigabytes.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A pipeline that has reached this size takes no further request along, so that one reply does not take too
/// long.
const PIPELINE_BYTES: usize = 4 * 1024 * 1024;

/// Submissions in the order they came in.
#[derive(Debug)]
pub(crate) struct Queue {
    durability: Durability,
    capacity: usize,
    pipeline_events: usize,
    admission: Admission,
    metrics: Metrics,
    waiting: Mutex<Waiting>,
    /// Wakes writers: something waits, or the queue was closed.
    changed: Notify,
    /// Wakes those who wait for room.
    left: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    submissions: VecDeque<Arc<Submission>>,
    /// Events that wait, those included whose request is partly in flight.
    events: usize,
    /// Bytes of the submissions that have waiting events.
    bytes: usize,
    closed: bool,
}

/// What a writer finds in the queue.
enum Found {
    Parts(Vec<Part>),
    Nothing,
    Closed,
}

/// Events that ask to be queued, each saying which trace it is part of.
struct Offer {
    events: Vec<NewEvent>,
    deadline: Instant,
    sending: Sending,
}

impl Offer {
    fn begin(mut events: Vec<NewEvent>, deadline: Instant) -> Self {
        let sending = Sending::begin(events.len());
        traced::mark(events.iter_mut().map(|new| &mut new.event), &sending);
        Self { events, deadline, sending }
    }
}

impl Queue {
    pub(super) fn new(
        durability: Durability,
        capacity: usize,
        pipeline_events: usize,
        admission: Admission,
        metrics: Metrics,
    ) -> Self {
        let (waiting, changed, left) = Default::default();
        Self { durability, capacity, pipeline_events, admission, metrics, waiting, changed, left }
    }

    /// Queues the events of one request, all of them or none. `bytes` is the size of its body, `deadline` when it
    /// must have its answer.
    ///
    /// A request that is larger than the whole capacity is taken while nothing else waits: it could never
    /// be sent otherwise.
    pub(crate) fn submit(
        &self,
        events: Vec<NewEvent>,
        bytes: usize,
        deadline: Instant,
    ) -> Result<Ticket, Failure> {
        let offer = Offer::begin(events, deadline);
        self.try_submit(offer, bytes).map_err(|(cause, offer)| self.refuse(&offer, cause))
    }

    /// The same for those who can wait: a full queue refuses only at `deadline`.
    pub(crate) async fn submit_by(
        &self,
        events: Vec<NewEvent>,
        bytes: usize,
        deadline: Instant,
    ) -> Result<Ticket, Failure> {
        let mut offer = Offer::begin(events, deadline);
        loop {
            // Made before looking, so that a change in between is not missed.
            let left = self.left.notified();
            match self.try_submit(offer, bytes) {
                Ok(ticket) => return Ok(ticket),
                Err((Cause::QueueFull, back)) if Instant::now() < deadline => offer = back,
                Err((cause, offer)) => return Err(self.refuse(&offer, cause)),
            }
            // Whether in time or not: the next look tells.
            _ = timeout_at(deadline, left).await;
        }
    }

    fn refuse(&self, offer: &Offer, cause: Cause) -> Failure {
        self.count(&offer.events, cause.event_outcome());
        offer.sending.failed(traced::label(cause), "no");
        Failure::not_stored(cause)
    }

    /// Gives the offer back if it is not taken.
    fn try_submit(&self, offer: Offer, bytes: usize) -> Result<Ticket, (Cause, Offer)> {
        let mut waiting = self.waiting();
        let refused = if waiting.closed {
            Some(Cause::ShuttingDown)
        } else if let Some(cap) = self.admission.closed() {
            Some(Cause::AtCap(cap))
        } else {
            (!self.make_room(&mut waiting, offer.events.len(), bytes)).then_some(Cause::QueueFull)
        };
        if let Some(cause) = refused {
            return Err((cause, offer));
        }
        let Offer { events, deadline, sending } = offer;
        waiting.events += events.len();
        waiting.bytes += bytes;
        let (submission, ticket) = Submission::new(events, bytes, deadline, sending);
        waiting.submissions.push_back(submission);
        self.metrics.queued(self.durability, waiting.events);
        drop(waiting);
        self.changed.notify_one();
        Ok(ticket)
    }

    /// Takes no more submissions. Writers end once nothing waits.
    pub(super) fn close(&self) {
        self.waiting().closed = true;
        self.changed.notify_waiters();
        self.left.notify_waiters();
    }

    /// Events that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting().events
    }

    /// The next pipeline: everything that waits, up to its bounds. `None` once the queue is closed and empty.
    pub(super) async fn next(&self) -> Option<Vec<Part>> {
        loop {
            // Made before looking, so that a change in between is not missed.
            let changed = self.changed.notified();
            match self.take() {
                Found::Parts(parts) => return Some(parts),
                Found::Closed => return None,
                Found::Nothing => changed.await,
            }
        }
    }

    /// Puts a submission back that has more to write, ahead of those that came later; `stored` tells whether
    /// what was written of it so far is in the stream.
    pub(super) fn resume(&self, submission: Arc<Submission>, stored: Result<(), Cause>) {
        let mut waiting = self.waiting();
        match stored {
            Ok(()) if !submission.is_given_up() => {
                waiting.submissions.push_front(submission);
                drop(waiting);
                self.changed.notify_one();
            }
            Ok(()) => self.forget(&mut waiting, &submission, EventOutcome::Failed),
            Err(cause) => {
                self.forget(&mut waiting, &submission, cause.event_outcome());
                submission.abandon(cause);
            }
        }
    }

    fn take(&self) -> Found {
        let mut waiting = self.waiting();
        let mut parts: Vec<Part> = Vec::new();
        let (mut room, mut bytes) = (self.pipeline_events, 0);
        while room > 0 && bytes < PIPELINE_BYTES {
            let Some(submission) = waiting.submissions.pop_front() else { break };
            let Some(part) = Arc::clone(&submission).take(room) else {
                self.forget(&mut waiting, &submission, EventOutcome::Failed);
                continue;
            };
            room -= part.events().len();
            bytes += part.bytes();
            waiting.events -= part.events().len();
            if part.is_last() {
                waiting.bytes -= submission.bytes();
            }
            parts.push(part);
        }
        self.metrics.queued(self.durability, waiting.events);
        let more = !waiting.submissions.is_empty();
        let closed = waiting.closed;
        drop(waiting);
        if more {
            self.changed.notify_one();
        }
        self.left.notify_waiters();
        match parts.is_empty() {
            false => Found::Parts(parts),
            true if closed => Found::Closed,
            true => Found::Nothing,
        }
    }

    /// Whether there is room for so much more, once the oldest requests that have ended are gone. Requests end
    /// in about the order they came, as they all have the same time.
    fn make_room(&self, waiting: &mut Waiting, events: usize, bytes: usize) -> bool {
        loop {
            let fits = waiting.events + events <= self.capacity && waiting.bytes + bytes <= QUEUE_BYTES_MAX;
            if fits || waiting.events == 0 {
                return true;
            }
            if !waiting.submissions.front().is_some_and(|oldest| oldest.is_given_up()) {
                return false;
            }
            if let Some(ended) = waiting.submissions.pop_front() {
                self.forget(waiting, &ended, EventOutcome::Failed);
            }
        }
    }

    /// Drops what was not taken of a submission that left the queue.
    fn forget(&self, waiting: &mut Waiting, submission: &Submission, outcome: EventOutcome) {
        let events = submission.untaken();
        waiting.events -= events.len();
        waiting.bytes -= submission.bytes();
        self.metrics.queued(self.durability, waiting.events);
        self.count(events, outcome);
    }

    fn count(&self, events: &[NewEvent], outcome: EventOutcome) {
        for new in events {
            self.metrics.event(&new.event, outcome);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Each critical section leaves the queue consistent, so a panic elsewhere does not spoil it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
