//! Where pipelines go: the stream, or a stand-in under test.

use std::borrow::Cow;

use order_events::OrderEvent;
use stream_core::{AppendedBatch, Error, EventStream};

use super::{Cause, Failure, Outcome};

/// What became of one pipeline.
#[derive(Debug)]
pub(crate) struct Appended {
    /// An outcome for each event, in order.
    pub(crate) outcomes: Vec<Outcome>,
    /// The stream's length after it, if Redis told.
    pub(crate) length: Option<u64>,
    /// The first error as Redis or the connection put it, for the log.
    pub(crate) error: Option<String>,
}

/// Appends events, all of them in one round trip.
pub(crate) trait Sink: Clone + Send + Sync + 'static {
    /// Appends `events` in order. Each has an outcome of its own, at its own place.
    fn append(&self, events: &[&OrderEvent]) -> impl Future<Output = Appended> + Send;
}

impl Sink for EventStream {
    async fn append(&self, events: &[&OrderEvent]) -> Appended {
        let entries = events.iter().map(|event| event.to_fields().map(|(name, value)| (name, Value(value))));
        let AppendedBatch { results, length } = self.append_batch_counted(entries).await;
        let error = results.iter().find_map(|result| result.as_ref().err()).map(ToString::to_string);
        let outcomes = results.into_iter().map(|result| result.map_err(|error| Failure::from(&error)));
        Appended { outcomes: outcomes.collect(), length, error }
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let cause = Cause::Redis(error.kind());
        if error.may_have_been_applied() { Self::unknown(cause) } else { Self::not_stored(cause) }
    }
}

/// A field's value as bytes; `Cow<str>` lends itself as text only.
struct Value<'a>(Cow<'a, str>);

impl AsRef<[u8]> for Value<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
