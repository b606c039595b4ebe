//! How the engine settles what has finished: acks, dead letters, counts.

use std::sync::Arc;

use tokio::{task::JoinError, time::Instant};

use super::{
    Delivery,
    engine::{Background, Engine, propagate_panic},
    metrics::DeliveryOutcome,
    process::{Finished, Process, Verdict},
    recent::RECENT_MAX,
    settler::{ack_until_answered, bury_until_answered},
    trace::{RunSpan, SettleOutcome, SettleSpan, Settlement},
};
use crate::{DeadReason, SettledDead, StreamId};

impl<P: Process> Engine<P> {
    pub(super) fn on_finished(&mut self, result: Result<Vec<Finished>, JoinError>) {
        self.rest_if_idle();
        // An error is that of a handler abandoned by a drain; its entries are given back.
        let Ok(finished) = result.map_err(propagate_panic) else { return };
        self.context.metrics.counts.processed(finished.len() as u64);
        let mut committed = Vec::new();
        let max_deliveries = self.context.settings.max_deliveries;
        // Of a large batch only the last are remembered.
        for Finished { delivery, verdict, .. } in finished.iter().rev().take(RECENT_MAX).rev() {
            self.levers.recent.ended(delivery, verdict, delivery.deliveries >= max_deliveries);
        }
        for Finished { delivery, verdict, span } in finished {
            self.queue.finished(&delivery);
            self.end_turn(delivery.row);
            match verdict {
                Verdict::Ack => {
                    self.ack_spans.extend(span.map(|span| span.settling(&delivery, Settlement::Ack)));
                    self.to_ack.push(delivery.row);
                }
                Verdict::Committed => committed.push(delivery.row),
                Verdict::NotPending => self.forget(delivery.row, DeliveryOutcome::OwnershipLost),
                Verdict::Retry { reason, .. } if delivery.deliveries >= max_deliveries => {
                    self.bury(delivery, DeadReason::MaxDeliveries, reason, span.as_deref());
                }
                Verdict::Retry { reason, after } => self.park(&delivery, &reason, after),
                Verdict::Postpone { reason, after } => self.postpone(&delivery, &reason, after),
                Verdict::Dead { reason, message } => {
                    self.bury(delivery, reason, message, span.as_deref());
                }
            }
        }
        if !committed.is_empty() {
            self.settled(&committed, committed.len());
        }
    }

    fn bury(&mut self, delivery: Delivery, reason: DeadReason, message: String, span: Option<&dyn RunSpan>) {
        // The dead letter itself tells of each.
        let what = ("dead letter", reason.label());
        if let Some(suppressed) = self.context.health.may_repeat(what, 1, Instant::now()) {
            tracing::error!(
                group = %self.context.group, consumer = %self.context.consumer, entry = %delivery.id,
                attempt = delivery.deliveries, reason = reason.label(), error = message, suppressed, "dead letter"
            );
        }
        let span = span.map(|span| span.settling(&delivery, Settlement::DeadLetter(reason)));
        let context = Arc::clone(&self.context);
        self.background.spawn(async move {
            let outcome = bury_until_answered(&context, &delivery, reason, &message).await;
            Background::Buried { id: delivery.row, span, outcome }
        });
    }

    pub(super) fn on_buried(
        &mut self,
        id: StreamId,
        span: Option<Box<dyn SettleSpan>>,
        outcome: SettledDead,
    ) {
        let (outcome, told) = match outcome {
            SettledDead::Moved => (DeliveryOutcome::DeadLettered, SettleOutcome::DeadLettered),
            SettledDead::NotPending | SettledDead::NotOwner => {
                (DeliveryOutcome::OwnershipLost, SettleOutcome::OwnershipLost)
            }
        };
        if let Some(span) = span {
            span.settled(told);
        }
        self.forget(id, outcome);
    }

    /// One XACK at a time: whatever has finished while it was under way goes out with the next.
    pub(super) fn flush_acks(&mut self) {
        if self.ack_running || self.to_ack.is_empty() {
            return;
        }
        self.ack_running = true;
        let ids = std::mem::take(&mut self.to_ack);
        let spans = std::mem::take(&mut self.ack_spans);
        let context = Arc::clone(&self.context);
        self.background.spawn(async move {
            let acked = ack_until_answered(&context, &ids).await;
            Background::Acked { ids, spans, acked }
        });
    }

    /// Drops entries that are done, of which `acked` were still pending. Which ones is not known.
    pub(super) fn settled(&mut self, ids: &[StreamId], acked: usize) {
        let (mut known, mut room) = (0, 0);
        for (at, id) in ids.iter().enumerate() {
            let outcome = if at < acked { DeliveryOutcome::Acked } else { DeliveryOutcome::OwnershipLost };
            self.levers.ended(*id, outcome);
            if let Some(held) = self.in_flight.remove(id) {
                known += 1;
                room += usize::from(held.permit);
            }
        }
        self.permits.add_permits(room);
        self.context.metrics.in_flight.sub(known);
        let (acked, lost) = ids.split_at(acked.min(ids.len()));
        self.context.metrics.acked(acked);
        self.context.metrics.delivered(DeliveryOutcome::OwnershipLost, lost.len() as u64);
    }

    /// Drops an entry that is not ours to settle (any more).
    pub(super) fn forget(&mut self, id: StreamId, outcome: DeliveryOutcome) {
        self.levers.ended(id, outcome);
        self.let_go(id);
        self.context.metrics.delivered(outcome, 1);
    }

    /// Ends what is known of an entry in flight.
    pub(super) fn let_go(&mut self, id: StreamId) {
        let Some(held) = self.in_flight.remove(&id) else { return };
        if held.permit {
            self.permits.add_permits(1);
        }
        match held.parked {
            Some(parked) => self.unpark(id, parked),
            None => self.context.metrics.in_flight.dec(),
        }
    }

    /// Whether an ack or a dead letter is still to be written.
    pub(super) fn is_settling(&self) -> bool {
        !self.background.is_empty() || !self.to_ack.is_empty()
    }
}

/// Tells who follows some of the entries of an XACK what it came to: `acked` of `handed_in` were pending, which is not known.
pub(super) fn tell_acked(spans: Vec<Box<dyn SettleSpan>>, acked: usize, handed_in: usize) {
    let outcome = match acked {
        0 => SettleOutcome::OwnershipLost,
        acked if acked >= handed_in => SettleOutcome::Acked,
        _ => SettleOutcome::Unclear,
    };
    for span in spans {
        span.settled(outcome);
    }
}
