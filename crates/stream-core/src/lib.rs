#![doc = include_str!("../README.md")]

mod backoff;
mod capabilities;
mod commit;
mod connection;
mod counters;
mod effects;
mod entry;
mod error;
mod feed;
mod id;
mod key;
mod lease;
mod memory;
mod projected;
mod rebuild;
mod reply;
mod scripts;
mod server;
mod stream;
mod tls_fault;
mod worker;

pub use capabilities::{Availability, Capabilities, Capability};
pub use connection::{BlockingConnection, ConnectSettings, Connection, Connector, ConnectorError, TlsFiles};
pub use counters::ConsumerCounters;
pub use effects::Effects;
pub use entry::{Entry, Fields};
pub use error::{Error, ErrorKind};
pub use feed::{Feed, FeedBounds, Heard, Listener, News};
pub use id::{ParseStreamIdError, StreamId};
pub use key::{StreamKey, StreamKeyError};
pub use lease::{Holder, Lease, NameError, NameLease, NameRenewal, Take};
pub use memory::MemoryUse;
pub use projected::Projected;
pub use rebuild::{RebuildPhase, RebuildRequest, RebuildStatus};
pub use server::{Persistence, ServerInfo, ServerVersion};
pub use stream::{
    Appended, AppendedBatch, AutoClaimed, BoundedDeadLetters, Bulk, BulkEnd, BulkTotals, CannotConfirm,
    ClaimRequest, Claimed, ClaimedEntry, ConsumerInfo, DeadLetter, DeadLetterBounds, DeadLetterFilter,
    DeadLetterPage, DeadLetterQuery, DeadLetters, DeadReason, Dedup, DedupMark, DedupMemory, DeletedDead,
    Direction, Durability, DurableAppender, DurableBatch, DurableError, EventStream, GroupInfo,
    GroupOverview, GroupRetention, Handover, HandoverError, HandoverRequest, Lag, MaxLen, NewEntry, Novelty,
    Overview, OverviewBounds, Page, PendingFilter, PendingRow, PendingSummary, Precision, RangeQuery,
    RedriveOutcome, RegisteredConsumer, Renewed, Retained, RetentionRule, Retired, SentMarks, SettledDead,
    Standing, StartAt, StreamInfo, SweepPage, Tail, UnreadableDeadLetter, Whereabouts,
};
pub use tls_fault::TlsFault;
pub use worker::{
    ClaimNow, ClaimReport, ConsumerState, ConsumerStatus, ConsumersReady, ControlError, Delivery,
    DrainReport, HandedOver, Handled, Handler, Outcome, Projection, RecentDelivery, RecentOutcome, Rejection,
    Removed, Run, RunSpan, SettleOutcome, SettleSpan, Settlement, Tracer, Worker, WorkerControl, WorkerError,
    WorkerHealth, WorkerMetrics, WorkerSettings, WorkerStatus,
};
