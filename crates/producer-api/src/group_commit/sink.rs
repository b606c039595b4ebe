//! Where pipelines go: the stream, or a stand-in under test.

use std::borrow::Cow;

use stream_core::{AppendedBatch, Error, EventStream, NewEntry, Novelty};
use tokio::time::Instant;

use super::{Cause, Failure, Outcome, Written};
use crate::dedup::{KeyKind, Memories, NewEvent};

/// What became of one pipeline.
#[derive(Debug, Default)]
pub(crate) struct Appended {
    /// An outcome for each event, in order.
    pub(crate) outcomes: Vec<Outcome>,
    /// The stream's length after it, if Redis told.
    pub(crate) length: Option<u64>,
    /// The first error as Redis or the connection put it, for the log.
    pub(crate) error: Option<String>,
    /// Keys that were forgotten within their window, by [`KeyKind`].
    pub(crate) forgotten: [u64; KeyKind::ALL.len()],
}

/// Appends events, all of them in one round trip.
pub(crate) trait Sink: Clone + Send + Sync + 'static {
    /// Appends `events` in order. Each has an outcome of its own, at its own place. The first of the requests that
    /// they belong to must have its answer at `deadline`.
    fn append(&self, events: &[&NewEvent], deadline: Instant) -> impl Future<Output = Appended> + Send;
}

/// The stream, over the connection that everything shares.
#[derive(Debug, Clone)]
pub(crate) struct StreamSink {
    pub(crate) stream: EventStream,
    pub(crate) memories: Memories,
}

impl Sink for StreamSink {
    async fn append(&self, events: &[&NewEvent], _: Instant) -> Appended {
        let batch = self.stream.append_batch_counted(entries(events, &self.memories)).await;
        Appended::of(events, batch)
    }
}

/// The entries that events become.
pub(super) fn entries<'a>(
    events: &'a [&'a NewEvent],
    memories: &'a Memories,
) -> impl Iterator<Item = NewEntry<'a, impl Iterator<Item = (&'a str, Value<'a>)>>> {
    events.iter().map(|new| NewEntry {
        fields: new.event.to_fields().map(|(name, value)| (name, Value(value))),
        dedup: new.key.as_ref().map(|key| memories.dedup(key)),
    })
}

impl Appended {
    pub(super) fn of(events: &[&NewEvent], batch: AppendedBatch) -> Self {
        let AppendedBatch { results, length } = batch;
        let mut forgotten = [0; KeyKind::ALL.len()];
        for (new, result) in events.iter().zip(&results) {
            if let (Some(key), Ok(appended)) = (&new.key, result) {
                forgotten[key.kind as usize] += appended.forgotten;
            }
        }
        let error = results.iter().find_map(|result| result.as_ref().err()).map(ToString::to_string);
        let outcomes = results.into_iter().map(|result| match result {
            Ok(appended) => match appended.novelty {
                Novelty::New => Ok(Written { id: appended.id, replayed: false }),
                Novelty::Repeated => Ok(Written { id: appended.id, replayed: true }),
                Novelty::Conflict => Err(Failure::conflict(appended.id)),
            },
            Err(error) => Err(Failure::from(&error)),
        });
        Self { outcomes: outcomes.collect(), length, error, forgotten }
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let cause = Cause::Redis(error.kind());
        if error.may_have_been_applied() { Self::unknown(cause) } else { Self::not_stored(cause) }
    }
}

/// A field's value as bytes; `Cow<str>` lends itself as text only.
pub(super) struct Value<'a>(Cow<'a, str>);

impl AsRef<[u8]> for Value<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
