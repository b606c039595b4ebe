//! [`EventStream`]: one stream and everything that can be done with it.

mod append;
mod dead_letters;
mod groups;
mod handover;
mod info;
mod overview;
mod pending;
mod range;
mod read;
mod recovery;
mod redriven;
mod registry;
mod retain;
mod retention;
mod sent_marks;
mod settle;
mod wipe;

pub use append::{
    Appended, AppendedBatch, CannotConfirm, Dedup, DedupMark, DedupMemory, Durability, DurableAppender,
    DurableBatch, DurableError, NewEntry, Novelty,
};
pub use dead_letters::{
    BoundedDeadLetters, Bulk, BulkEnd, BulkTotals, DeadLetter, DeadLetterBounds, DeadLetterFilter,
    DeadLetterPage, DeadLetterQuery, DeadLetters, RedriveOutcome, UnreadableDeadLetter, Whereabouts,
};
pub use groups::{DeletedDead, StartAt};
pub use handover::{Handover, HandoverError, HandoverRequest};
pub use info::{ConsumerInfo, GroupInfo, Lag, StreamInfo};
pub use overview::{GroupOverview, Overview, OverviewBounds};
pub use pending::{AutoClaimed, PendingFilter, PendingRow, PendingSummary};
pub use range::{Direction, Page, RangeQuery};
pub use read::Tail;
pub use recovery::{ClaimRequest, Claimed, ClaimedEntry, Retired, SweepPage};
pub(crate) use redriven::Redriven;
pub use registry::RegisteredConsumer;
pub use retain::{GroupRetention, Retained, RetentionRule, Standing};
pub use retention::{MaxLen, Precision};
pub use sent_marks::SentMarks;
pub(crate) use settle::unix_ms;
pub use settle::{DeadReason, Renewed, SettledDead};

use crate::{Connection, StreamKey};

/// A stream and a shared connection to it. Cheap to clone.
///
/// Blocking reads take a [`BlockingConnection`](crate::BlockingConnection) of their own; everything else
/// goes over the shared one.
#[derive(Debug, Clone)]
pub struct EventStream {
    connection: Connection,
    key: StreamKey,
    max_len: Option<MaxLen>,
}

impl EventStream {
    /// The stream at `key`, used over `connection`. Nothing is sent yet.
    pub const fn new(connection: Connection, key: StreamKey) -> Self {
        Self { connection, key, max_len: None }
    }

    /// Caps the stream's length at every append (`XADD … MAXLEN`). This can drop entries that no group
    /// has read; guarded retention never does.
    #[must_use]
    pub const fn with_max_len(mut self, max_len: MaxLen) -> Self {
        self.max_len = Some(max_len);
        self
    }

    /// The stream of dead letters that were sent back to `group`, over the same connection. Nothing caps its length.
    #[must_use]
    pub fn redrive(&self, group: &str) -> Self {
        let connection = self.connection.where_group_may_be_absent();
        Self { connection, key: self.key.redrive(group), max_len: None }
    }

    /// The stream's key.
    pub const fn key(&self) -> &StreamKey {
        &self.key
    }

    /// The connection that commands use.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }
}
