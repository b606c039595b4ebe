//! What the levers of a worker move in one consumer: shared switches, and orders for its engines.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock, atomic::AtomicBool},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

use super::{
    asked::Asked,
    context::Context,
    control::{ClaimReport, ConsumerState, ControlError, HandedOver},
    metrics::DeliveryOutcome,
    recent::{Recent, RecentDelivery},
};
use crate::{Entry, StreamId};

/// Switches of one consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Switches {
    /// Do not read or claim.
    pub(super) paused: bool,
    /// Claim idle entries of others without being asked.
    pub(super) claim_auto: bool,
}

/// What the supervisor and one consumer share.
#[derive(Debug)]
pub(super) struct Levers {
    pub(super) switches: watch::Sender<Switches>,
    pub(super) state: watch::Sender<ConsumerState>,
    /// One consumer of the process records the group's position; when it leaves, another.
    pub(super) records_position: AtomicBool,
    /// Who gets its entries when it leaves.
    pub(super) heir: OnceLock<Arc<str>>,
}

impl Levers {
    pub(super) fn new(claim_auto: bool) -> Self {
        Self {
            switches: watch::Sender::new(Switches { paused: false, claim_auto }),
            state: watch::Sender::new(ConsumerState::Starting),
            records_position: AtomicBool::new(false),
            heir: OnceLock::new(),
        }
    }
}

/// What an engine tells of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct EngineStatus {
    pub(super) in_flight: u64,
    pub(super) parked: u64,
    pub(super) drop_next: u64,
    pub(super) dropped: u64,
    pub(super) recent: Vec<RecentDelivery>,
}

type Reply<T> = oneshot::Sender<Result<T, ControlError>>;

/// What one engine of a consumer is told to do.
#[derive(Debug)]
pub(super) enum Order {
    Status(oneshot::Sender<EngineStatus>),
    /// Claim idle entries, of one consumer or of all.
    Claim {
        min_idle: Duration,
        from: Option<String>,
        deadline: Instant,
        reply: Reply<ClaimReport>,
    },
    /// Give what was not started, and what is nobody's work, to a peer.
    Handover {
        to: String,
        reply: Reply<HandedOver>,
    },
    /// Drop the next entries that are read.
    DropNext {
        count: u64,
        reply: Reply<u64>,
    },
    /// Look for what was handed over to this consumer.
    TakeGiven,
}

/// What an engine and its reader are given by the supervisor.
#[derive(Debug)]
pub(super) struct EngineLink {
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) at_rest: watch::Sender<bool>,
}

/// An engine's ends of the levers.
pub(super) struct EngineLevers {
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) switches: watch::Receiver<Switches>,
    /// Whether the reader has no read under way, and everything that it read is in the engine's queue.
    pub(super) at_rest: watch::Receiver<bool>,
    pub(super) asked: Option<Asked>,
    pub(super) handover: Option<PendingHandover>,
    drop_next: u64,
    dropped_total: u64,
    pub(super) recent: Recent,
    /// Rows that were dropped: left alone, as if this process had died, until they are claimed.
    pub(super) dropped: HashSet<StreamId>,
}

/// What an engine's levers have come to.
#[derive(Debug)]
pub(super) enum Pulled {
    Order(Order),
    /// A switch was moved, or the reader came to rest while that was waited for.
    Changed,
    /// What was asked for should have been answered by now.
    Overdue,
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// A handover that waits until nothing is on its way in, or is under way.
#[derive(Debug)]
pub(super) struct PendingHandover {
    pub(super) to: String,
    pub(super) reply: Reply<HandedOver>,
    pub(super) is_moving: bool,
}

/// Dropped rows that are remembered. Beyond that, the consumer may take one up again as if it had been given it.
const DROPPED_MAX: usize = 10_000;

impl EngineLevers {
    pub(super) fn new(
        context: &Context,
        orders: mpsc::Receiver<Order>,
        at_rest: watch::Receiver<bool>,
    ) -> Self {
        Self {
            orders,
            switches: context.levers.switches.subscribe(),
            at_rest,
            asked: None,
            handover: None,
            drop_next: 0,
            dropped_total: 0,
            recent: Recent::default(),
            dropped: HashSet::new(),
        }
    }

    /// Whether reads and claims are to stop.
    pub(super) fn holds(&self) -> bool {
        self.switches.borrow().paused || self.handover.is_some()
    }

    pub(super) fn claim_auto(&self) -> bool {
        self.switches.borrow().claim_auto
    }

    /// Waits for the next thing to do.
    pub(super) async fn pulled(&mut self) -> Pulled {
        let waits = self.handover.as_ref().is_some_and(|handover| !handover.is_moving);
        let deadline = self.asked.as_ref().map(|asked| asked.deadline);
        tokio::select! {
            Some(order) = self.orders.recv() => Pulled::Order(order),
            Ok(()) = self.switches.changed() => Pulled::Changed,
            Ok(()) = self.at_rest.changed(), if waits => Pulled::Changed,
            () = until(deadline) => Pulled::Overdue,
        }
    }

    pub(super) fn status(&self, in_flight: usize, parked: usize) -> EngineStatus {
        EngineStatus {
            in_flight: in_flight as u64,
            parked: parked as u64,
            drop_next: self.drop_next,
            dropped: self.dropped_total,
            recent: self.recent.newest_first(),
        }
    }

    pub(super) fn drop_next(&mut self, count: u64) -> u64 {
        self.drop_next = self.drop_next.saturating_add(count);
        self.drop_next
    }

    /// Takes out of `entries` those that are to be dropped. Returns how many there were.
    pub(super) fn drop_from(&mut self, context: &Context, entries: &mut Vec<Entry>) -> usize {
        let count = entries.len().min(usize::try_from(self.drop_next).unwrap_or(usize::MAX));
        let what = ("dropped", "as told");
        if count > 0
            && let Some(suppressed) = context.health.may_repeat(what, count as u64, Instant::now())
        {
            let (group, consumer, first) = (&context.group, &context.consumer, entries[0].id);
            tracing::warn!(%group, %consumer, count, %first, suppressed, "dropped as told: they stay pending");
        }
        for entry in entries.drain(..count) {
            self.recent.dropped(entry.id);
            if self.dropped.len() < DROPPED_MAX {
                self.dropped.insert(entry.id);
            }
        }
        self.drop_next -= count as u64;
        self.dropped_total += count as u64;
        count
    }

    /// A suspect was claimed: one of those that somebody asked to have claimed, if somebody did.
    pub(super) fn claimed_suspect(&mut self, row: StreamId, id: StreamId) {
        self.dropped.remove(&row);
        if let Some(asked) = &mut self.asked {
            asked.on_claimed(row, id);
        }
    }

    /// What became of an entry, for whoever asked to have it claimed.
    pub(super) fn ended(&mut self, row: StreamId, outcome: DeliveryOutcome) {
        if let Some(asked) = &mut self.asked {
            asked.ended(row, outcome);
        }
    }
}
