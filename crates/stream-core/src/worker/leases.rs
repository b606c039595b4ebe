//! Leases on entries: what is in flight, running or waiting, is renewed long before others may claim it.

use std::{collections::HashSet, sync::Arc};

use tokio::time::Instant;

use super::{
    engine::{Background, Engine},
    metrics::DeliveryOutcome,
    process::Process,
};
use crate::{Error, Renewed, StreamId};

impl<P: Process> Engine<P> {
    /// Renews the leases of entries that have been in flight for a while, in one script.
    pub(super) fn renew(&mut self) {
        if self.renewing.is_running() {
            return;
        }
        let now = Instant::now();
        let age = self.context.settings.renew_interval();
        let (mut ids, mut waiting) = (Vec::new(), Vec::new());
        for (id, held) in &mut self.in_flight {
            if now.duration_since(held.renewed) < age {
                continue;
            }
            held.renewed = now;
            let waits = held.parked.is_some_and(|parked| parked.waits());
            let list = if waits { &mut waiting } else { &mut ids };
            list.push(*id);
        }
        if ids.is_empty() && waiting.is_empty() {
            return;
        }
        self.renewing.start();
        let context = Arc::clone(&self.context);
        self.background.spawn(async move {
            Background::Renewed(context.stream.renew(&context.group, &context.consumer, &ids, &waiting).await)
        });
    }

    pub(super) fn on_renewed(&mut self, result: Result<Renewed, Error>) {
        let Some(renewed) = self.renewing.end(&self.context, "renewing leases", result) else { return };
        let Renewed { gone, lost, away, .. } = renewed;
        if !gone.is_empty() && self.context.health.may_log("settling from memory", None, Instant::now()) {
            tracing::warn!(
                group = %self.context.group, consumer = %self.context.consumer, count = gone.len(), first = ?gone.first(),
                "entries in flight were removed from the stream; they are settled from memory"
            );
        }
        self.note_lost(&lost);
        // What runs, or was just acked, is told apart when it is settled. What was not started need not run here too.
        let away: HashSet<StreamId> = away.into_iter().collect();
        for delivery in self.queue.remove(&away) {
            self.forget(delivery.row, DeliveryOutcome::OwnershipLost);
        }
        self.lose_parked(away.into_iter());
    }

    /// Forgets entries that a script has recorded as dead letters because their payload was gone.
    pub(super) fn note_lost(&mut self, lost: &[StreamId]) {
        self.note_dead_ids("removed while pending", lost);
    }

    pub(super) fn note_dead_ids(&mut self, what: &'static str, ids: &[StreamId]) {
        if ids.is_empty() {
            return;
        }
        let (count, first) = (ids.len() as u64, ids.first());
        if let Some(suppressed) =
            self.context.health.may_repeat(("dead letters", what), count, Instant::now())
        {
            tracing::error!(group = %self.context.group, consumer = %self.context.consumer, count, ?first, suppressed, "dead letters: {what}");
        }
        self.context.metrics.delivered(DeliveryOutcome::DeadLettered, ids.len() as u64);
        for id in ids {
            // Only what waited here: what runs is settled when it has finished.
            if self.in_flight.get(id).is_some_and(|held| held.parked.is_some()) {
                self.let_go(*id);
            }
        }
    }
}
