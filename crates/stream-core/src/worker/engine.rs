//! The engine of one consumer: a single task that owns what is in flight and decides what happens next.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Delivery,
    consumer::Context,
    metrics::DeliveryOutcome,
    process::{Finished, Process, Verdict},
    queue::ReadyQueue,
    settings::{CLAIM_PAGE, SUSPECT_DELIVERIES},
    settler::{ack_until_answered, bury_until_answered},
};
use crate::{ClaimRequest, Claimed, DeadReason, Entry, Error, Renewed, SettledDead, StreamId};

/// A result of work that the engine does not wait for in place.
pub(super) enum Background {
    Acked(Vec<StreamId>),
    Buried { id: StreamId, outcome: SettledDead },
    Claimed { reserved: usize, result: Result<Claimed, Error> },
    Renewed(Result<Renewed, Error>),
    PositionRecorded(Result<StreamId, Error>),
}

/// Where the claiming of idle entries stands.
struct Claiming {
    /// Go on after this entry; `None` from the start of the pending list.
    after: Option<StreamId>,
    /// Taking over this consumer's own pending entries, which comes before anything is read.
    own: bool,
    running: bool,
    /// Suspects were left where they are, since one was waiting or running.
    suspects_left: bool,
    next: Instant,
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
    renew_running: bool,
    position_running: bool,
    claiming: Claiming,
    permits: Arc<Semaphore>,
    reading: watch::Sender<bool>,
    name_held: watch::Receiver<bool>,
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
        let claiming =
            Claiming { after: None, own: true, running: false, suspects_left: false, next: Instant::now() };
        Self {
            context,
            process,
            queue,
            in_flight: HashMap::new(),
            running: JoinSet::new(),
            background: JoinSet::new(),
            to_ack: Vec::new(),
            ack_running: false,
            renew_running: false,
            position_running: false,
            claiming,
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
                () = sleep_until(self.claiming.next), if !self.claiming.running => self.claim(),
                _ = renew_tick.tick() => self.renew(),
                _ = position_tick.tick(), if self.context.records_position => self.record_position(),
            }
        }
        self.set_reading(false);
    }

    fn accept_new(&mut self, entries: Vec<Entry>) {
        let now = Instant::now();
        self.context.metrics.in_flight.add(entries.len() as i64);
        for entry in entries {
            self.in_flight.insert(entry.id, now);
            let delivery = self.delivery(entry, 1);
            self.queue.push(delivery);
        }
    }

    /// Takes note of entries read after the drain began: they are ours to give back.
    pub(super) fn accept_late(&mut self, entries: &[Entry], unstarted: &mut HashSet<StreamId>) {
        let now = Instant::now();
        self.context.metrics.in_flight.add(entries.len() as i64);
        for entry in entries {
            self.in_flight.insert(entry.id, now);
            unstarted.insert(entry.id);
        }
    }

    fn delivery(&self, entry: Entry, deliveries: u64) -> Delivery {
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

    pub(super) fn on_finished(&mut self, result: Result<Vec<Finished>, tokio::task::JoinError>) {
        // Handlers' panics are caught inside; an error here is a cancelled drain or a bug of the runtime,
        // and either way the entries stay pending and are claimed again.
        let finished = match result {
            Ok(finished) => finished,
            Err(error) if error.is_cancelled() => return,
            Err(error) => {
                tracing::error!(%error, "a batch was lost to a panic in the runtime; its entries stay pending");
                return;
            }
        };
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

    pub(super) fn on_background(&mut self, result: Result<Background, tokio::task::JoinError>) {
        let background = match result {
            Ok(background) => background,
            Err(error) => {
                tracing::error!(%error, "a background task of the consumer failed; its entries stay pending");
                return;
            }
        };
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
            Background::Renewed(result) => {
                self.renew_running = false;
                match result {
                    Ok(renewed) if renewed.lost.is_empty() => {}
                    Ok(renewed) => tracing::error!(
                        group = %self.context.group, ids = ?renewed.lost,
                        "entries in flight were removed from the stream; recorded as dead letters"
                    ),
                    Err(error) => self.context.report("renewing leases failed", &error),
                }
            }
            Background::PositionRecorded(result) => {
                self.position_running = false;
                if let Err(error) = result {
                    self.context.metrics.redis_error(error.kind());
                    tracing::debug!(%error, "recording the group's position failed");
                }
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

    /// Claims one page of idle entries, as far as there is room for them.
    fn claim(&mut self) {
        self.schedule_claim();
        if !*self.name_held.borrow() || !(self.context.settings.claim_auto || self.claiming.own) {
            return;
        }
        let page = self.permits.available_permits().min(CLAIM_PAGE);
        let Ok(permits) = self.permits.try_acquire_many(page as u32) else { return };
        if page == 0 {
            return;
        }
        permits.forget();
        self.claiming.running = true;
        let (after, own) = (self.claiming.after, self.claiming.own);
        let suspects_allowed = usize::from(!self.queue.has_suspect());
        let context = Arc::clone(&self.context);
        self.background.spawn(async move {
            let request = ClaimRequest {
                group: &context.group,
                consumer: &context.consumer,
                min_idle: if own { Duration::ZERO } else { context.settings.claim_min_idle },
                after,
                page,
                max_deliveries: context.settings.max_deliveries,
                // A claim counts: a row delivered one time less is a suspect once it is claimed.
                suspect_deliveries: SUSPECT_DELIVERIES - 1,
                suspects_allowed,
                owner: own.then_some(&*context.consumer),
            };
            Background::Claimed { reserved: page, result: context.stream.claim_idle(&request).await }
        });
    }

    fn on_claimed(&mut self, reserved: usize, result: Result<Claimed, Error>) {
        self.claiming.running = false;
        let claimed = match result {
            Ok(claimed) => claimed,
            Err(error) => {
                self.permits.add_permits(reserved);
                self.context.report("claiming idle entries failed", &error);
                return;
            }
        };
        for (what, ids) in [("delivered too often", &claimed.dead), ("removed while pending", &claimed.lost)]
        {
            if !ids.is_empty() {
                tracing::error!(group = %self.context.group, ?ids, "dead letters: {what}");
                self.context.metrics.delivered(DeliveryOutcome::DeadLettered, ids.len() as u64);
            }
        }
        if self.claiming.after.is_none() {
            self.claiming.suspects_left = false;
        }
        self.claiming.suspects_left |= claimed.skipped_suspects > 0;
        let now = Instant::now();
        let mut accepted = 0;
        for claimed in claimed.entries {
            // Ours and still in flight: its renewal came too late, which only costs a count.
            if self.in_flight.insert(claimed.entry.id, now).is_none() {
                accepted += 1;
                let delivery = self.delivery(claimed.entry, claimed.deliveries);
                self.queue.push(delivery);
            }
        }
        self.permits.add_permits(reserved - accepted);
        self.context.metrics.claims.inc_by(accepted as u64);
        self.context.metrics.in_flight.add(accepted as i64);
        self.claiming.after = claimed.next;
        if claimed.next.is_some() {
            // The list is longer than a page: go on at once, or as soon as there is room.
            self.claiming.next = now;
            if self.permits.available_permits() == 0 {
                self.schedule_claim();
            }
        } else if std::mem::take(&mut self.claiming.own) {
            self.claiming.next = now;
        }
    }

    /// The next claim comes after the interval, a quarter more or less, so that consumers spread out.
    fn schedule_claim(&mut self) {
        let jitter = 0.75 + fastrand::f64() / 2.0;
        self.claiming.next = Instant::now() + self.context.settings.claim_interval.mul_f64(jitter);
    }

    /// Renews the leases of entries that have been in flight for a while, in one script.
    pub(super) fn renew(&mut self) {
        if self.renew_running {
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
        self.renew_running = true;
        let context = Arc::clone(&self.context);
        self.background.spawn(async move {
            Background::Renewed(context.stream.renew(&context.group, &context.consumer, &ids).await)
        });
    }

    fn record_position(&mut self) {
        if self.position_running {
            return;
        }
        self.position_running = true;
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
