//! [`WorkerControl`]: the levers of a running worker.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::recent::RecentDelivery;
use crate::{ConsumerCounters, Error, NameError, StreamId};

/// What a lever could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The worker does not run: not yet, or not any more.
    #[error("the worker does not run")]
    NotRunning,
    /// This worker has no such consumer.
    #[error("this process has no consumer {0:?}")]
    UnknownConsumer(String),
    /// A name must not be empty, and spaces and control characters would only confuse people.
    #[error(
        "{0:?} cannot be a consumer's name: 1 to 200 characters, no slash, no spaces or control characters"
    )]
    InvalidName(String),
    /// The name is taken in this process.
    #[error("the consumer {0:?} already exists")]
    Exists(String),
    /// The name is taken by another process.
    #[error("the consumer already exists: {0}")]
    Taken(NameError),
    /// Entries are pending for the consumer, and nobody else in the group is alive to take them.
    #[error(
        "{pending} entries are pending for {consumer:?}, and its group has no other live consumer to take them"
    )]
    NoPeer {
        /// The consumer that was to be removed.
        consumer: String,
        /// Its pending entries.
        pending: u64,
    },
    /// The consumer that was to take the entries over is not alive, or is the one that gives them up.
    #[error("{0:?} cannot take entries over: it is not another live consumer of the group")]
    NotAPeer(String),
    /// The consumer is starting, leaving, or at the same work for somebody else.
    #[error("the consumer {consumer:?} is {doing}; try again")]
    Busy {
        /// The consumer.
        consumer: String,
        /// What it is at.
        doing: &'static str,
    },
    /// Entries that live consumers are at work on would be taken from them.
    #[error("entries idle for {asked:?} may still be at work; claim those idle for {least:?} or longer")]
    MinIdleTooShort {
        /// The idle time asked for.
        asked: Duration,
        /// Half of `claim_min_idle`: entries in flight are renewed before that.
        least: Duration,
    },
    /// Faults are injected only where the settings allow it.
    #[error("fault injection is off")]
    FaultInjectionOff,
    /// There was no outcome in time; what has begun goes on.
    #[error("no outcome within {0:?}; what has begun goes on")]
    TimedOut(Duration),
    /// Redis failed.
    #[error(transparent)]
    Redis(#[from] Error),
}

/// What a consumer is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConsumerState {
    /// It waits for its name.
    Starting,
    /// It holds its name, and reads unless it is paused.
    Running,
    /// Its name's lease was lost; it does not read until it has it again.
    NameLost,
    /// It drains.
    Leaving,
}

/// One consumer of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConsumerStatus {
    /// Its name.
    pub name: String,
    /// What it is at.
    pub state: ConsumerState,
    /// Whether it was told not to read and claim.
    pub paused: bool,
    /// Entries read or claimed and not settled, parked ones included.
    pub in_flight: u64,
    /// Of those, the ones that wait for their next attempt.
    pub parked: u64,
    /// Deliveries that it is still to drop.
    pub drop_next: u64,
    /// Deliveries that it has dropped.
    pub dropped: u64,
    /// What it has done since it took its name.
    pub counters: ConsumerCounters,
    /// Its last deliveries that have come to an end, newest first; at most 10.
    pub recent: Vec<RecentDelivery>,
}

/// A worker and its consumers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// The group that it consumes.
    pub group: String,
    /// Whether it claims idle entries by itself.
    pub claim_auto: bool,
    /// From which idle time on it claims entries (`claim_min_idle`), in milliseconds.
    pub claim_min_idle_ms: u64,
    /// Whether its consumers may be told to drop deliveries.
    pub fault_injection: bool,
    /// Its consumers, by name.
    pub consumers: Vec<ConsumerStatus>,
}

/// Which idle entries to claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimNow {
    /// Only entries idle for so long; `claim_min_idle` of the settings if `None`.
    pub min_idle: Option<Duration>,
    /// Only entries pending for this consumer.
    pub from: Option<String>,
}

/// What came of claiming idle entries now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClaimReport {
    /// The idle time from which on entries were claimed, in milliseconds.
    pub min_idle_ms: u64,
    /// Entries that were taken over.
    pub claimed: Vec<StreamId>,
    /// How many of them were handled and acked.
    pub processed: u64,
    /// How many of them failed and are tried again later.
    pub retried: u64,
    /// How many of them did not come to an end in time; they are in flight.
    pub unfinished: u64,
    /// Entries delivered too often, and claimed ones that failed for good: dead letters now.
    pub dead_lettered: Vec<StreamId>,
    /// Entries whose payload was gone; recorded as dead letters.
    pub deleted: Vec<StreamId>,
}

impl ClaimReport {
    pub(super) fn plus(mut self, other: Self) -> Self {
        self.claimed.extend(other.claimed);
        self.processed += other.processed;
        self.retried += other.retried;
        self.unfinished += other.unfinished;
        self.dead_lettered.extend(other.dead_lettered);
        self.deleted.extend(other.deleted);
        self
    }
}

/// What a removed consumer left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Removed {
    /// Who has its entries now, if it had any.
    pub handed_over_to: Option<String>,
    /// Entries that were handed over.
    pub handed_over: u64,
    /// Whether the consumer is gone from the group. If not, entries are left that could not be handed over; any
    /// consumer may claim them.
    pub deleted: bool,
}

/// What a handover between live consumers moved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HandedOver {
    /// Entries that are the other consumer's now.
    pub moved: u64,
    /// Entries whose payload was gone; recorded as dead letters.
    pub lost: Vec<StreamId>,
    /// Entries that are being handled, and stay where they are.
    pub kept: u64,
}

type Reply<T> = oneshot::Sender<Result<T, ControlError>>;

/// A lever, with where to say what came of it.
#[derive(Debug)]
pub(super) enum Command {
    Status { reply: Reply<WorkerStatus> },
    Pause { consumer: Option<String>, paused: bool, reply: Reply<()> },
    Claiming { auto: bool, reply: Reply<()> },
    Add { consumer: String, reply: Reply<()> },
    Remove { consumer: String, to: Option<String>, reply: Reply<Removed> },
    Claim { consumer: String, claim: ClaimNow, within: Duration, reply: Reply<ClaimReport> },
    Handover { consumer: String, to: String, reply: Reply<HandedOver> },
    DropNext { consumer: String, count: u64, reply: Reply<u64> },
}

/// Operates a running [`Worker`](super::Worker). Cheap to clone; it keeps nothing alive.
///
/// Every operation has come to its end when it returns, or says that it has not. One that is dropped half-way goes on.
#[derive(Debug, Clone)]
pub struct WorkerControl(mpsc::Sender<Command>);

impl WorkerControl {
    pub(super) fn new() -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        (Self(commands), receiver)
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, ControlError> {
        let (reply, answer) = oneshot::channel();
        self.0.send(command(reply)).await.map_err(|_| ControlError::NotRunning)?;
        answer.await.unwrap_or(Err(ControlError::NotRunning))
    }

    /// The worker and its consumers as they are now.
    pub async fn status(&self) -> Result<WorkerStatus, ControlError> {
        self.ask(|reply| Command::Status { reply }).await
    }

    /// Stops the reads and claims of one consumer, or of all that there are. What is in flight is finished, and the
    /// names stay reserved. Returns once no read is under way any more.
    pub async fn pause(&self, consumer: Option<&str>) -> Result<(), ControlError> {
        let consumer = consumer.map(str::to_owned);
        self.ask(|reply| Command::Pause { consumer, paused: true, reply }).await
    }

    /// Ends a pause.
    pub async fn resume(&self, consumer: Option<&str>) -> Result<(), ControlError> {
        let consumer = consumer.map(str::to_owned);
        self.ask(|reply| Command::Pause { consumer, paused: false, reply }).await
    }

    /// Turns automatic claiming of idle entries on or off, for the consumers there are and those to come. Off, entries
    /// of a crashed consumer stay where they are until somebody [claims](Self::claim) them.
    pub async fn set_claiming(&self, auto: bool) -> Result<(), ControlError> {
        self.ask(|reply| Command::Claiming { auto, reply }).await
    }

    /// Adds a consumer. It reads once this returns: its name is reserved, here and among all processes.
    pub async fn add_consumer(&self, name: &str) -> Result<(), ControlError> {
        self.ask(|reply| Command::Add { consumer: name.to_owned(), reply }).await
    }

    /// Removes a consumer: it stops reading, finishes what it runs, hands the rest over to `to` (or to some other
    /// live consumer of the group, in this process or another), and is deleted from the group.
    pub async fn remove_consumer(&self, name: &str, to: Option<&str>) -> Result<Removed, ControlError> {
        let (consumer, to) = (name.to_owned(), to.map(str::to_owned));
        self.ask(|reply| Command::Remove { consumer, to, reply }).await
    }

    /// Lets a consumer claim idle entries and handle them, now, paused or not: all that there are, whoever held them.
    /// Returns when they are settled, or `within` that time with what has been done by then.
    pub async fn claim(
        &self,
        consumer: &str,
        claim: ClaimNow,
        within: Duration,
    ) -> Result<ClaimReport, ControlError> {
        let consumer = consumer.to_owned();
        self.ask(|reply| Command::Claim { consumer, claim, within, reply }).await
    }

    /// Hands what a live consumer holds and has not started over to another live consumer of the group.
    pub async fn handover(&self, consumer: &str, to: &str) -> Result<HandedOver, ControlError> {
        let (consumer, to) = (consumer.to_owned(), to.to_owned());
        self.ask(|reply| Command::Handover { consumer, to, reply }).await
    }

    /// Lets a consumer drop the next `count` entries that it reads: they stay pending, unhandled and not renewed, as
    /// if the process had died. Only with `fault_injection`. Returns how many it is to drop in all.
    pub async fn drop_next(&self, consumer: &str, count: u64) -> Result<u64, ControlError> {
        self.ask(|reply| Command::DropNext { consumer: consumer.to_owned(), count, reply }).await
    }
}

/// Commands that may wait for the worker, which answers or hands on each of them at once.
const COMMANDS_MAX: usize = 64;
