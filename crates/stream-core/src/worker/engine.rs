//! The engine of one consumer: a single task that owns what is in flight and decides what happens next.

use std::{
    collections::{
        HashMap, HashSet,
        hash_map::Entry::{Occupied, Vacant},
    },
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Delivery,
    claiming::Claiming,
    context::Context,
    control::HandedOver,
    isolation::{Busy, State},
    job::Job,
    levers::EngineLevers,
    parking::{Parked, Parking},
    process::{Finished, Process},
    queue::ReadyQueue,
    settling::tell_acked,
    suspects::{Suspects, Wanted},
    trace::SettleSpan,
};
use crate::{
    Claimed, Entry, Error, HandoverError, PendingRow, Renewed, SettledDead, StreamId, stream::Redriven,
};

/// A result of work that the engine does not wait for in place.
pub(super) enum Background {
    Acked {
        ids: Vec<StreamId>,
        spans: Vec<Box<dyn SettleSpan>>,
        acked: usize,
    },
    Buried {
        id: StreamId,
        span: Option<Box<dyn SettleSpan>>,
        outcome: SettledDead,
    },
    Claimed {
        reserved: usize,
        own: bool,
        turn: u64,
        result: Option<Result<Claimed, Error>>,
    },
    Given(Result<Vec<PendingRow>, Error>),
    HandedOver {
        taken: Vec<Delivery>,
        waiting: Vec<StreamId>,
        result: Result<HandedOver, HandoverError>,
    },
    DueClaimed {
        reserved: usize,
        busy: Option<Busy>,
        wanted: Vec<(StreamId, u64)>,
        unasked: Vec<(StreamId, u64)>,
        result: Option<Result<Claimed, Error>>,
    },
    SuspectClaimed {
        wanted: Wanted,
        result: Result<Claimed, Error>,
    },
    Renewed(Result<Renewed, Error>),
    DeliveryTakenBack(Result<bool, Error>),
    PositionRecorded(Result<StreamId, Error>),
}

/// What is known of an entry that is ours and not settled.
pub(super) struct Held {
    /// When its lease was last known to be fresh.
    pub(super) renewed: Instant,
    /// Whether it takes up room that reads and claims are given.
    pub(super) permit: bool,
    /// It waits for another attempt.
    pub(super) parked: Option<Parked>,
}

/// One consumer's state. Everything is owned by one task: no lock, no shared map.
pub(super) struct Engine<P: Process> {
    pub(super) context: Arc<Context>,
    process: Arc<P>,
    pub(super) queue: ReadyQueue,
    /// Entries that are ours and not settled, by the ID of their row.
    pub(super) in_flight: HashMap<StreamId, Held>,
    pub(super) parking: Parking,
    pub(super) suspects: Suspects,
    pub(super) running: JoinSet<Vec<Finished>>,
    pub(super) background: JoinSet<Background>,
    pub(super) to_ack: Vec<StreamId>,
    /// Of those to ack, the ones that somebody follows.
    pub(super) ack_spans: Vec<Box<dyn SettleSpan>>,
    pub(super) ack_running: bool,
    /// Held while ordinary deliveries run, so that no suspect runs beside them.
    pub(super) busy: Option<Busy>,
    isolation_changes: watch::Receiver<State>,
    /// The newest entry ever read: what an abandoned read was handed comes after it.
    pub(super) newest_read: StreamId,
    pub(super) renewing: Job,
    positioning: Job,
    pub(super) claiming: Claiming,
    pub(super) permits: Arc<Semaphore>,
    reading: watch::Sender<bool>,
    pub(super) name_held: watch::Receiver<bool>,
    pub(super) incoming: mpsc::Receiver<Vec<Entry>>,
    pub(super) levers: EngineLevers,
}

impl<P: Process> Engine<P> {
    pub(super) fn new(
        context: Arc<Context>,
        process: Arc<P>,
        permits: Arc<Semaphore>,
        reading: watch::Sender<bool>,
        name_held: watch::Receiver<bool>,
        incoming: mpsc::Receiver<Vec<Entry>>,
        levers: EngineLevers,
    ) -> Self {
        let isolation_changes = context.isolation.subscribe();
        let queue = ReadyQueue::new(context.settings.ordering_field.clone());
        Self {
            context,
            process,
            queue,
            in_flight: HashMap::new(),
            parking: Parking::new(),
            suspects: Suspects::new(),
            running: JoinSet::new(),
            background: JoinSet::new(),
            to_ack: Vec::new(),
            ack_spans: Vec::new(),
            ack_running: false,
            busy: None,
            isolation_changes,
            newest_read: StreamId::MIN,
            renewing: Job::default(),
            positioning: Job::default(),
            claiming: Claiming::new(),
            permits,
            reading,
            name_held,
            incoming,
            levers,
        }
    }

    /// Runs until `shutdown`, or until its reader has ended. What is in flight then is for [`drain`](super::drain::drain).
    pub(super) async fn run(&mut self, shutdown: &CancellationToken) {
        let mut renew_tick = tokio::time::interval(self.context.settings.renew_interval());
        let mut position_tick = tokio::time::interval(Duration::from_secs(1));
        // What was missed, while the process was stopped or another consumer recorded, is not made up for.
        renew_tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        position_tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.start_ready();
            self.flush_acks();
            let suspected = self.wants_turn() || self.context.isolation.is_announced();
            self.pull_levers();
            let holds = self.claiming.own || self.levers.holds();
            self.set_reading(!holds && !suspected && !self.is_parking_full());
            let due = self.parking.next().filter(|_| self.may_claim_due());
            let turn = self.next_turn();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(result) = self.background.join_next() => self.on_background(result),
                Some(result) = self.running.join_next() => {
                    self.on_finished(result);
                    // Whatever else has finished goes into the same ack.
                    while let Some(result) = self.running.try_join_next() {
                        self.on_finished(result);
                    }
                }
                entries = self.incoming.recv() => match entries {
                    Some(entries) => self.accept_new(entries),
                    // The reader has ended, which it does not while all is well.
                    None => break,
                },
                Ok(()) = self.isolation_changes.changed() => {}
                // Before claims: after a stall they would find what is in flight here idle.
                _ = renew_tick.tick() => {
                    self.renew();
                    self.context.health.tell_left_out(&self.context.group, false);
                }
                pulled = self.levers.pulled() => self.on_pulled(pulled),
                () = sleep_until(self.claiming.next), if !self.claiming.job.is_running() => self.claim(),
                () = at(due) => self.claim_due(),
                () = at(turn) => {}
                _ = position_tick.tick(), if self.context.records_position() => self.record_position(),
            }
        }
        self.set_reading(false);
        // Whoever waits for an answer is told that there will be none.
        self.levers.orders.close();
        self.levers.asked = None;
        self.levers.handover = None;
        // A drain starts nothing.
        self.suspects.stand_back();
        self.claiming.stop.cancel();
    }

    pub(super) fn accept_new(&mut self, mut entries: Vec<Entry>) {
        self.note_read(&entries);
        let dropped = self.levers.drop_from(&self.context, &mut entries);
        self.permits.add_permits(dropped);
        for entry in entries {
            if self.take_in(entry.id, true) {
                let delivery = self.delivery(entry, 1, 0);
                self.queue.push(delivery);
            }
        }
    }

    fn note_read(&mut self, entries: &[Entry]) {
        let newest = entries.iter().map(|entry| entry.id).max();
        self.newest_read = newest.map_or(self.newest_read, |newest| newest.max(self.newest_read));
    }

    /// Takes note of entries read after the drain began: they are ours to give back.
    pub(super) fn accept_late(&mut self, entries: &[Entry], unstarted: &mut HashSet<StreamId>) {
        self.note_read(entries);
        unstarted.extend(entries.iter().map(|entry| entry.id).filter(|id| self.take_in(*id, true)));
    }

    /// Counts an entry as in flight; `permit` says whether its room was reserved. `false`, and the room is given back,
    /// if it is in flight already: its renewal came too late, or a group that was recreated delivers it once more. Its
    /// handler runs, and settles this delivery too. One that only waited for another attempt goes on with this one.
    pub(super) fn take_in(&mut self, id: StreamId, permit: bool) -> bool {
        let held = Held { renewed: Instant::now(), permit, parked: None };
        match self.in_flight.entry(id) {
            Occupied(mut known) => {
                let Some(parked) = known.get().parked else {
                    self.permits.add_permits(usize::from(permit));
                    return false;
                };
                known.insert(held);
                self.unpark(id, parked);
            }
            Vacant(free) => drop(free.insert(held)),
        }
        self.context.metrics.in_flight.inc();
        true
    }

    pub(super) fn delivery(&self, entry: Entry, deliveries: u64, failures: u64) -> Delivery {
        let Context { group, consumer, .. } = &*self.context;
        let (group, consumer) = (Arc::clone(group), Arc::clone(consumer));
        let row = entry.id;
        let (id, fields) = if self.context.is_redrive() {
            let (redriven, fields) = Redriven::split(entry.fields);
            (redriven.map_or(row, |redriven| redriven.id), fields)
        } else {
            (row, entry.fields)
        };
        Delivery { id, fields, deliveries, group, consumer, row, failures }
    }

    /// Starts what may be started. While a suspect is announced, that is nothing else, but for retries that were claimed
    /// before.
    fn start_ready(&mut self) {
        self.rest_if_idle();
        self.advance_suspects();
        let runs_max = self.runs_max();
        while self.running.len() < runs_max && self.queue.is_ready() {
            let mut batch_max = self.process.batch_max();
            if self.context.isolation.is_announced() {
                batch_max = if self.busy.is_some() { batch_max.min(self.queue.retries()) } else { 0 };
            } else if self.busy.is_none() {
                self.busy = self.context.isolation.enter();
            }
            if self.busy.is_none() || batch_max == 0 {
                return;
            }
            let batch = self.queue.take(batch_max);
            self.spawn(batch);
        }
    }

    /// Lets suspects have their turn, if nothing ordinary runs or is to run before them.
    pub(super) fn rest_if_idle(&mut self) {
        if self.running.is_empty() && self.queue.retries() == 0 {
            self.busy = None;
        }
    }

    fn runs_max(&self) -> usize {
        self.process.runs_max().min(self.context.settings.concurrency.max(1))
    }

    /// Deliveries that can run at the same time.
    pub(super) fn slots(&self) -> usize {
        self.runs_max().saturating_mul(self.process.batch_max())
    }

    pub(super) fn spawn(&mut self, batch: Vec<Delivery>) {
        self.running.spawn(Arc::clone(&self.process).run(Arc::clone(&self.context), batch));
    }

    pub(super) fn on_background(&mut self, result: Result<Background, JoinError>) {
        let Ok(background) = result.map_err(propagate_panic) else { return };
        match background {
            Background::Acked { ids, spans, acked } => {
                self.ack_running = false;
                tell_acked(spans, acked, ids.len());
                self.settled(&ids, acked);
            }
            Background::Buried { id, span, outcome } => self.on_buried(id, span, outcome),
            Background::Claimed { reserved, own, turn, result } => {
                self.on_claimed(reserved, own, turn, result);
            }
            Background::Given(result) => self.on_given(result),
            Background::HandedOver { taken, waiting, result } => self.on_handed_over(taken, &waiting, result),
            Background::DueClaimed { reserved, busy, wanted, unasked, result } => {
                self.on_due_claimed(reserved, busy, &wanted, &unasked, result);
            }
            Background::SuspectClaimed { wanted, result } => self.on_suspect_claimed(wanted, result),
            Background::Renewed(result) => self.on_renewed(result),
            Background::DeliveryTakenBack(result) => {
                if let Err(error) = result {
                    self.context.report("taking a delivery back failed", &error);
                }
            }
            Background::PositionRecorded(result) => {
                self.positioning.end(&self.context, "recording the group's position", result);
            }
        }
    }

    pub(super) fn set_reading(&self, reads: bool) {
        self.reading.send_if_modified(|now| std::mem::replace(now, reads) != reads);
    }

    fn record_position(&mut self) {
        if !self.positioning.start() {
            return;
        }
        let context = Arc::clone(&self.context);
        self.background.spawn(async move {
            Background::PositionRecorded(context.stream.record_position(&context.group).await)
        });
    }

    /// Everything that is ours, not settled, and does not wait for another attempt.
    pub(super) fn unsettled(&self) -> Vec<StreamId> {
        self.in_flight.iter().filter(|(_, held)| held.parked.is_none()).map(|(id, _)| *id).collect()
    }

    /// Everything that waits for another attempt.
    pub(super) fn waiting(&self) -> Vec<StreamId> {
        self.in_flight.iter().filter(|(_, held)| held.parked.is_some()).map(|(id, _)| *id).collect()
    }
}

/// Waits until then; for ever if there is no such time.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Every panic that can come of a handler is caught around it, so one that arrives here is a bug of the runtime.
/// The consumer ends with it: going on, it would hold on to the entries that the panic took along.
pub(super) fn propagate_panic(error: JoinError) {
    if let Ok(panic) = error.try_into_panic() {
        std::panic::resume_unwind(panic);
    }
}
