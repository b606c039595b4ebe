//! The writers: each takes a pipeline's worth from the queue, writes it, settles it, and looks again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::anyhow;
use service_kit::trace::Writing;
use stream_core::ErrorKind;
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, timeout_at},
};

use super::{
    Cause, Failure, Outcome, Queue, Stored,
    sink::{Appended, Sink},
    submission::Part,
};
use crate::{
    admission::{Admission, Cap},
    dedup::NewEvent,
    metrics::{EventOutcome, Metrics},
};

/// Failures of the same kind are logged this often while they last, whatever fails in between.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// When each cause was logged last, by any writer; there are few.
#[derive(Debug, Default)]
struct Logged(Vec<(Cause, Instant)>);

impl Logged {
    /// Whether a failure at this moment is to be logged; if so, it counts as logged.
    fn is_due(&mut self, cause: Cause, now: Instant) -> bool {
        match self.0.iter_mut().find(|(logged, _)| *logged == cause) {
            Some((_, at)) if now.saturating_duration_since(*at) < LOG_INTERVAL => return false,
            Some((_, at)) => *at = now,
            None => self.0.push((cause, now)),
        }
        true
    }
}

/// The running writers, one for each pipeline that may be in flight.
#[derive(Debug, Default)]
pub(crate) struct Writers {
    queues: Vec<Arc<Queue>>,
    tasks: JoinSet<()>,
    logged: Arc<Mutex<Logged>>,
}

impl Writers {
    /// Starts a writer of the queue for each of the sinks.
    pub(super) fn start<S: Sink>(
        &mut self,
        queue: &Arc<Queue>,
        sinks: impl IntoIterator<Item = S>,
        admission: &Admission,
        metrics: &Metrics,
    ) {
        for sink in sinks {
            let writer = Writer {
                queue: Arc::clone(queue),
                sink,
                admission: admission.clone(),
                metrics: metrics.clone(),
                logged: Arc::clone(&self.logged),
            };
            self.tasks.spawn(writer.run());
        }
        self.queues.push(Arc::clone(queue));
    }

    /// Returns if a writer ends while the queue is open, which is a fault of this program.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Err(error)) => lost(error),
            _ => anyhow!("a writer ended while the queue was open"),
        }
    }

    /// Closes the queues and lets the writers finish what waits, until `deadline`.
    pub(crate) async fn finish(mut self, deadline: Instant) -> anyhow::Result<()> {
        self.queues.iter().for_each(|queue| queue.close());
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                ended.map_err(lost)?;
            }
            Ok(())
        };
        let finished = timeout_at(deadline, all).await;
        finished.unwrap_or_else(|_| {
            let events: usize = self.queues.iter().map(|queue| queue.len()).sum();
            tracing::warn!(events, "events still waiting at shutdown were not written");
            Ok(())
        })
    }
}

fn lost(error: JoinError) -> anyhow::Error {
    anyhow::Error::new(error).context("a writer failed")
}

struct Writer<S> {
    queue: Arc<Queue>,
    sink: S,
    admission: Admission,
    metrics: Metrics,
    logged: Arc<Mutex<Logged>>,
}

impl<S: Sink> Writer<S> {
    async fn run(self) {
        while let Some(parts) = self.queue.next().await {
            let outcomes = match self.admission.closed() {
                None => self.write(&parts).await,
                Some(cap) => self.refuse(&parts, cap),
            };
            self.settle(parts, outcomes);
        }
    }

    /// What had queued when the stream reached a cap is not written.
    fn refuse(&self, parts: &[Part], cap: Cap) -> Vec<Outcome> {
        let cause = Cause::AtCap(cap);
        let refused = parts.iter().flat_map(Part::events).map(|new| {
            self.metrics.event(&new.event, cause.event_outcome());
            Err(Failure::not_stored(cause))
        });
        refused.collect()
    }

    /// Writes one pipeline; an outcome for each event of each part, in order.
    async fn write(&self, parts: &[Part]) -> Vec<Outcome> {
        let events: Vec<&NewEvent> = parts.iter().flat_map(Part::events).collect();
        let writing = Writing::begin(parts.iter().filter_map(Part::link), events.len());
        let begun = Instant::now();
        let deadline = parts.iter().filter_map(Part::deadline).min().unwrap_or(begun);
        let Appended { mut outcomes, length, error, forgotten } = self.sink.append(&events, deadline).await;
        self.metrics.append(events.len(), begun.elapsed());
        self.metrics.forgotten(forgotten);
        if let Some(writing) = writing {
            writing.ended(error.as_deref());
        }
        if let Some(length) = length {
            self.admission.appended(length);
        }
        // Missing outcomes would leave a request waiting until its deadline.
        outcomes.resize(events.len(), Err(Failure::unknown(Cause::Redis(ErrorKind::Reply))));
        for (new, outcome) in events.iter().zip(&outcomes) {
            let counted = match outcome {
                Ok(written) if written.replayed => EventOutcome::Replayed,
                Ok(_) => EventOutcome::Stored,
                Err(failure) => failure.event_outcome(),
            };
            self.metrics.event(&new.event, counted);
        }
        self.report(&outcomes, error.as_deref());
        outcomes
    }

    fn settle(&self, parts: Vec<Part>, outcomes: Vec<Outcome>) {
        let mut outcomes = outcomes.into_iter();
        for part in parts {
            let count = part.events().len();
            if let Some((submission, stored)) = part.settle(outcomes.by_ref().take(count)) {
                self.queue.resume(submission, stored);
            }
        }
    }

    /// Counts a pipeline's first failure and logs it, unless the same was logged just now.
    fn report(&self, outcomes: &[Outcome], error: Option<&str>) {
        let ours = |outcome: &Outcome| outcome.err().filter(|failure| !failure.cause.is_the_clients());
        let Some(first) = outcomes.iter().find_map(ours) else { return };
        if let Cause::Redis(kind) = first.cause {
            self.metrics.redis_error(kind);
        }
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let due = logged.is_due(first.cause, Instant::now());
        drop(logged);
        if !due {
            return;
        }
        let failed = outcomes.iter().filter_map(ours).count();
        let error = error.unwrap_or("no answer for some of the events");
        if first.stored == Stored::Yes {
            tracing::warn!(error, events = failed, "events are stored, but not as safely as was asked");
            return;
        }
        let (stored, of) = (first.stored.as_str(), outcomes.len());
        tracing::warn!(error, stored, failed, of, "events could not be appended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_logged_now_and_then_even_if_causes_take_turns() {
        let (mut logged, start) = (Logged::default(), Instant::now());
        let causes = [Cause::Redis(ErrorKind::Connection), Cause::Redis(ErrorKind::Timeout)];
        let lines = (0..200).filter(|n| {
            let now = start + Duration::from_millis(100) * *n;
            logged.is_due(causes[*n as usize % 2], now)
        });
        assert_eq!(lines.count(), 4, "two in twenty seconds for each of two");
    }
}
