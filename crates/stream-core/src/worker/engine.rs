//! The engine of one consumer: a single task that owns what is in flight and decides what happens next.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Delivery,
    claiming::Claiming,
    context::Context,
    job::Job,
    metrics::DeliveryOutcome,
    process::{Finished, Process, Verdict},
    queue::ReadyQueue,
    settings::SUSPECT_DELIVERIES,
    settler::{ack_until_answered, bury_until_answered},
};
use crate::{Claimed, DeadReason, Entry, Error, Renewed, SettledDead, StreamId};

/// A result of work that the engine does not wait for in place.
pub(super) enum Background {
    Acked(Vec<StreamId>),
    Buried { id: StreamId, outcome: SettledDead },
    Claimed { reserved: usize, result: Option<Result<Claimed, Error>> },
    Renewed(Result<Renewed, Error>),
    PositionRecorded(Result<StreamId, Error>),
}

/// One consumer's state. Everything is owned by one task: no lock, no shared map.
pub(super) struct Engine<P: Process> {
    pub(super) context: Arc<Context>,
    process: Arc<P>,
    pub(super) queue: ReadyQueue,
    /// Entries that are ours and not settled, and when their lease was last known to be fresh.
    in_flight: HashMap<StreamId, Instant>,
    pub(super) running: JoinSet<Vec<Finished>>,
    pub(super) background: JoinSet<Background>,
    to_ack: Vec<StreamId>,
    ack_running: bool,
    renewing: Job,
    positioning: Job,
    pub(super) claiming: Claiming,
    pub(super) permits: Arc<Semaphore>,
    reading: watch::Sender<bool>,
    pub(super) name_held: watch::Receiver<bool>,
    pub(super) incoming: mpsc::Receiver<Vec<Entry>>,
}

impl<P: Process> Engine<P> {
    pub(super) fn new(
        context: Arc<Context>,
        process: Arc<P>,
        permits: Arc<Semaphore>,
        reading: watch::Sender<bool>,
        name_held: watch::Receiver<bool>,
        incoming: mpsc::Receiver<Vec<Entry>>,
    ) -> Self {
        let queue = ReadyQueue::new(context.settings.ordering_field.clone());
        Self {
            context,
            process,
            queue,
            in_flight: HashMap::new(),
            running: JoinSet::new(),
            background: JoinSet::new(),
            to_ack: Vec::new(),
            ack_running: false,
            renewing: Job::default(),
            positioning: Job::default(),
            claiming: Claiming::new(),
            permits,
            reading,
            name_held,
            incoming,
        }
    }

    /// Runs until `shutdown`. What is in flight then is for [`drain`](super::drain::drain).
    pub(super) async fn run(&mut self, shutdown: &CancellationToken) {
        let mut renew_tick = tokio::time::interval(self.context.settings.renew_interval());
        let mut position_tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            self.start_ready();
            self.flush_acks();
            self.set_reading(!self.claiming.own && !self.queue.has_suspect());
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
                Some(entries) = self.incoming.recv() => self.accept_new(entries),
                () = sleep_until(self.claiming.next), if !self.claiming.job.is_running() => self.claim(),
                _ = renew_tick.tick() => self.renew(),
                _ = position_tick.tick(), if self.context.records_position => self.record_position(),
            }
        }
        self.set_reading(false);
        self.claiming.stop.cancel();
    }

    fn accept_new(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            if self.take_in(entry.id) {
                let delivery = self.delivery(entry, 1);
                self.queue.push(delivery);
            }
        }
    }

    /// Takes note of entries read after the drain began: they are ours to give back.
    pub(super) fn accept_late(&mut self, entries: &[Entry], unstarted: &mut HashSet<StreamId>) {
        unstarted.extend(entries.iter().map(|entry| entry.id).filter(|id| self.take_in(*id)));
    }

    /// Counts an entry as in flight; its room was reserved. `false`, and the room is given back, if it is in
    /// flight already: its renewal came too late, or a group that was recreated delivers it once more. Its
    /// handler runs, and settles this delivery too.
    pub(super) fn take_in(&mut self, id: StreamId) -> bool {
        let new = self.in_flight.insert(id, Instant::now()).is_none();
        if new {
            self.context.metrics.in_flight.inc();
        } else {
            self.permits.add_permits(1);
        }
        new
    }

    pub(super) fn delivery(&self, entry: Entry, deliveries: u64) -> Delivery {
        let Context { group, consumer, .. } = &*self.context;
        let (group, consumer) = (Arc::clone(group), Arc::clone(consumer));
        Delivery { id: entry.id, fields: entry.fields, deliveries, group, consumer }
    }

    fn start_ready(&mut self) {
        while self.running.len() < self.process.runs_max() {
            let batch = self.queue.take(self.process.batch_max(), !self.running.is_empty());
            if batch.is_empty() {
                break;
            }
            self.running.spawn(Arc::clone(&self.process).run(batch));
        }
    }

    pub(super) fn on_finished(&mut self, result: Result<Vec<Finished>, JoinError>) {
        // An error is that of a handler abandoned by a drain; its entries are given back.
        let Ok(finished) = result.map_err(propagate_panic) else { return };
        let mut committed = Vec::new();
        for Finished { delivery, verdict } in finished {
            self.queue.finished(&delivery);
            if delivery.deliveries >= SUSPECT_DELIVERIES && self.claiming.suspects_left {
                self.claiming.next = Instant::now();
            }
            match verdict {
                Verdict::Ack => self.to_ack.push(delivery.id),
                Verdict::Committed => committed.push(delivery.id),
                Verdict::NotPending => self.forget(delivery.id, DeliveryOutcome::OwnershipLost),
                Verdict::Retry { reason, .. }
                    if delivery.deliveries >= self.context.settings.max_deliveries =>
                {
                    self.bury(delivery, DeadReason::MaxDeliveries, reason);
                }
                Verdict::Retry { reason, after } => {
                    tracing::warn!(
                        group = %self.context.group, id = %delivery.id, attempt = delivery.deliveries, reason,
                        ?after, "handling failed; the entry stays pending and is delivered again"
                    );
                    self.forget(delivery.id, DeliveryOutcome::Retried);
                }
                Verdict::Dead { reason, message } => self.bury(delivery, reason, message),
            }
        }
        if !committed.is_empty() {
            self.settled(&committed);
        }
    }

    fn bury(&mut self, delivery: Delivery, reason: DeadReason, message: String) {
        tracing::error!(
            group = %self.context.group, id = %delivery.id, attempt = delivery.deliveries,
            reason = reason.label(), error = message, "dead letter"
        );
        let context = Arc::clone(&self.context);
        self.background.spawn(async move {
            let outcome = bury_until_answered(&context, &delivery, reason, &message).await;
            Background::Buried { id: delivery.id, outcome }
        });
    }

    /// One XACK at a time: whatever has finished while it was under way goes out with the next.
    pub(super) fn flush_acks(&mut self) {
        if self.ack_running || self.to_ack.is_empty() {
            return;
        }
        self.ack_running = true;
        let ids = std::mem::take(&mut self.to_ack);
        let context = Arc::clone(&self.context);
        self.background.spawn(async move {
            ack_until_answered(&context, &ids).await;
            Background::Acked(ids)
        });
    }

    pub(super) fn on_background(&mut self, result: Result<Background, JoinError>) {
        let Ok(background) = result.map_err(propagate_panic) else { return };
        match background {
            Background::Acked(ids) => {
                self.ack_running = false;
                self.settled(&ids);
            }
            Background::Buried { id, outcome } => self.forget(
                id,
                match outcome {
                    SettledDead::Moved => DeliveryOutcome::DeadLettered,
                    SettledDead::NotPending | SettledDead::NotOwner => DeliveryOutcome::OwnershipLost,
                },
            ),
            Background::Claimed { reserved, result } => self.on_claimed(reserved, result),
            Background::Renewed(result) => self.on_renewed(result),
            Background::PositionRecorded(result) => {
                self.positioning.end(&self.context, "recording the group's position failed", result);
            }
        }
    }

    fn settled(&mut self, ids: &[StreamId]) {
        let known = ids.iter().filter(|id| self.in_flight.remove(id).is_some()).count();
        self.permits.add_permits(known);
        self.context.metrics.in_flight.sub(known as i64);
        self.context.metrics.acked(ids);
    }

    /// Drops an entry that is not ours to settle (any more).
    pub(super) fn forget(&mut self, id: StreamId, outcome: DeliveryOutcome) {
        if self.in_flight.remove(&id).is_some() {
            self.permits.add_permits(1);
            self.context.metrics.in_flight.dec();
        }
        self.context.metrics.delivered(outcome, 1);
    }

    fn set_reading(&self, reads: bool) {
        self.reading.send_if_modified(|now| std::mem::replace(now, reads) != reads);
    }

    /// Renews the leases of entries that have been in flight for a while, in one script.
    pub(super) fn renew(&mut self) {
        if self.renewing.is_running() {
            return;
        }
        let now = Instant::now();
        let age = self.context.settings.renew_interval();
        let due = self.in_flight.iter_mut().filter(|(_, renewed)| now.duration_since(**renewed) >= age);
        let ids: Vec<StreamId> = due
            .map(|(id, renewed)| {
                *renewed = now;
                *id
            })
            .collect();
        if ids.is_empty() {
            return;
        }
        self.renewing.start();
        let context = Arc::clone(&self.context);
        self.background.spawn(async move {
            Background::Renewed(context.stream.renew(&context.group, &context.consumer, &ids).await)
        });
    }

    fn on_renewed(&mut self, result: Result<Renewed, Error>) {
        let renewed = self.renewing.end(&self.context, "renewing leases failed", result);
        if let Some(Renewed { lost, .. }) = renewed.filter(|renewed| !renewed.lost.is_empty()) {
            tracing::error!(
                group = %self.context.group, count = lost.len(), first = ?lost.first(),
                "entries in flight were removed from the stream; recorded as dead letters"
            );
        }
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

    /// Everything that is ours and not settled.
    pub(super) fn unsettled(&self) -> Vec<StreamId> {
        self.in_flight.keys().copied().collect()
    }

    /// Whether an ack or a dead letter is still to be written.
    pub(super) fn is_settling(&self) -> bool {
        !self.background.is_empty() || !self.to_ack.is_empty()
    }
}

/// Every panic that can come of a handler is caught around it, so one that arrives here is a bug of the runtime.
/// The consumer ends with it: going on, it would hold on to the entries that the panic took along.
fn propagate_panic(error: JoinError) {
    if let Ok(panic) = error.try_into_panic() {
        std::panic::resume_unwind(panic);
    }
}
