//! Why an event was not (or perhaps not) stored.

use serde::Serialize;
use stream_core::{ErrorKind, StreamId};

use crate::{admission::Cap, metrics::EventOutcome};

/// What became of one event: its ID, or why it has none.
pub(crate) type Outcome = Result<StreamId, Failure>;

/// An event that is not known to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What went wrong.
    pub(crate) cause: Cause,
    /// Whether the event may be in the stream all the same.
    pub(crate) stored: Stored,
}

/// Whether an event is in the stream. A client may send it again at no risk only if it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stored {
    Yes,
    No,
    Unknown,
}

impl Stored {
    /// The word that clients read.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

/// What kept an event from being stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Redis did not answer or refused.
    Redis(ErrorKind),
    /// The request's deadline passed.
    Deadline,
    /// The stream has reached a hard cap of retention.
    AtCap(Cap),
    /// The queue has no room.
    QueueFull,
    /// The service stops.
    ShuttingDown,
    /// The writer ended without an answer: a fault of this program.
    WriterLost,
}

impl Cause {
    /// How an event is counted that is not stored for this cause.
    pub(super) const fn event_outcome(self) -> EventOutcome {
        match self {
            Self::AtCap(_) => EventOutcome::Throttled,
            _ => EventOutcome::Failed,
        }
    }
}

impl Failure {
    /// The event is certainly not in the stream.
    pub(crate) const fn not_stored(cause: Cause) -> Self {
        Self { cause, stored: Stored::No }
    }

    /// The event may be in the stream.
    pub(crate) const fn unknown(cause: Cause) -> Self {
        Self { cause, stored: Stored::Unknown }
    }
}
