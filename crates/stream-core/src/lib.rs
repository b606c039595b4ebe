#![doc = include_str!("../README.md")]

mod connection;
mod entry;
mod error;
mod id;
mod key;
mod reply;
mod scripts;
mod stream;

pub use connection::{BlockingConnection, ConnectSettings, Connection, Connector, ConnectorError};
pub use entry::{Entry, Fields};
pub use error::{Error, ErrorKind};
pub use id::{ParseStreamIdError, StreamId};
pub use key::{StreamKey, StreamKeyError};
pub use stream::{
    AutoClaimed, ClaimRequest, Claimed, ClaimedEntry, ConsumerInfo, DeadReason, Direction, EventStream,
    GroupInfo, GuardedTrim, Handover, Lag, MaxLen, Page, PendingFilter, PendingRow, PendingSummary,
    Precision, RangeQuery, Renewed, Retired, SettledDead, StartAt, StreamInfo, SweepPage, Tail,
};
