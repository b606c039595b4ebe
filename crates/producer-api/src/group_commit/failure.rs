//! Why an event was not (or perhaps not) stored.

use serde::Serialize;
use stream_core::{CannotConfirm, ErrorKind, StreamId};

use crate::{admission::Cap, metrics::EventOutcome};

/// What became of one event: its ID, or why it has none.
pub(crate) type Outcome = Result<Written, Failure>;

/// An event that is stored as it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) id: StreamId,
    /// It was there already: its key is known, with the same body.
    pub(crate) replayed: bool,
}

/// An event that is not known to be stored, or not as safely as was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What went wrong.
    pub(crate) cause: Cause,
    /// Whether the event may be in the stream all the same.
    pub(crate) stored: Stored,
    /// The entry that it is about: the event's own, if it is stored, or with [`Cause::Conflict`] the one that has its
    /// key.
    pub(crate) entry: Option<StreamId>,
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
    /// Another event has been stored under its key.
    Conflict,
    /// Redis cannot confirm what is asked.
    CannotConfirm(CannotConfirm),
    /// Redis has not confirmed in time.
    NotConfirmed {
        /// The event was in the stream already.
        replayed: bool,
    },
}

impl Cause {
    /// How an event is counted that is not stored for this cause.
    pub(super) const fn event_outcome(self) -> EventOutcome {
        match self {
            Self::AtCap(_) => EventOutcome::Throttled,
            Self::Conflict => EventOutcome::Conflict,
            Self::CannotConfirm(_) => EventOutcome::Rejected,
            _ => EventOutcome::Failed,
        }
    }

    /// Whether the client asked for what cannot be, rather than something being out of order here.
    pub(super) const fn is_the_clients(self) -> bool {
        matches!(self, Self::Conflict | Self::CannotConfirm(_))
    }
}

impl Failure {
    /// The event is certainly not in the stream.
    pub(crate) const fn not_stored(cause: Cause) -> Self {
        Self { cause, stored: Stored::No, entry: None }
    }

    /// The event may be in the stream.
    pub(crate) const fn unknown(cause: Cause) -> Self {
        Self { cause, stored: Stored::Unknown, entry: None }
    }

    /// The event is not written: its key belongs to another one, the entry `owner`.
    pub(crate) const fn conflict(owner: StreamId) -> Self {
        Self { cause: Cause::Conflict, stored: Stored::No, entry: Some(owner) }
    }

    /// The event is in the stream, but not known to be on the replicas or on the disk.
    pub(crate) const fn not_confirmed(written: Written) -> Self {
        let cause = Cause::NotConfirmed { replayed: written.replayed };
        Self { cause, stored: Stored::Yes, entry: Some(written.id) }
    }

    /// How an event is counted that came to this.
    pub(super) const fn event_outcome(&self) -> EventOutcome {
        match (self.stored, self.cause) {
            (Stored::Yes, Cause::NotConfirmed { replayed: true }) => EventOutcome::Replayed,
            (Stored::Yes, _) => EventOutcome::Stored,
            (Stored::Unknown, _) => EventOutcome::Unknown,
            (Stored::No, cause) => cause.event_outcome(),
        }
    }
}
