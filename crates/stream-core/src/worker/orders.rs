//! How an engine carries out what its levers ask for.

use std::{collections::HashSet, sync::Arc};

use tokio::time::Instant;

use super::{
    Delivery,
    asked::Asked,
    context::Context,
    control::{ControlError, HandedOver},
    engine::{Background, Engine},
    levers::{Order, PendingHandover, Pulled},
    metrics::DeliveryOutcome,
    process::Process,
};
use crate::{Error, ErrorKind, HandoverError, HandoverRequest, PendingFilter, StreamId};

/// Rows of a consumer looked at in one step of a handover.
const PAGE: usize = 500;
/// Rows that one handover moves at most; another moves the rest.
const HANDOVER_MAX: usize = 100_000;

impl<P: Process> Engine<P> {
    pub(super) fn on_pulled(&mut self, pulled: Pulled) {
        match pulled {
            Pulled::Order(order) => self.on_order(order),
            // What was held back is due.
            Pulled::Changed => self.claiming.next = Instant::now(),
            Pulled::Overdue => {
                if let Some(asked) = self.levers.asked.take() {
                    asked.answer();
                }
            }
        }
    }

    fn on_order(&mut self, order: Order) {
        // Whoever waits for an answer may have gone.
        match order {
            Order::Status(reply) => {
                if self.levers.holds() {
                    // Whoever has paused the consumer relies on it from now on.
                    self.set_reading(false);
                }
                _ = reply.send(self.levers.status(self.in_flight.len(), self.parking.count));
            }
            Order::Claim { reply, .. } if self.levers.asked.is_some() => {
                _ = reply.send(Err(self.busy_with("claiming")));
            }
            Order::Claim { min_idle, from, deadline, reply } => {
                self.levers.asked = Some(Asked::new(min_idle, from, deadline, reply));
            }
            Order::Handover { reply, .. } if self.levers.handover.is_some() => {
                _ = reply.send(Err(self.busy_with("handing its entries over")));
            }
            Order::Handover { reply, .. } if !*self.name_held.borrow() => {
                // What is pending under the name may be the work of whoever holds it.
                _ = reply.send(Err(self.busy_with("without its name")));
            }
            Order::Handover { to, reply } => {
                // Before the reader is looked at: seen at rest, it stays there.
                self.set_reading(false);
                self.claiming.stop_waiting();
                self.levers.handover = Some(PendingHandover { to, reply, is_moving: false });
            }
            Order::DropNext { count, reply } => _ = reply.send(Ok(self.levers.drop_next(count))),
            Order::TakeGiven => {
                self.claiming.given = true;
                self.claiming.next = Instant::now();
            }
        }
    }

    /// Forgets suspects of others that nobody wants to have claimed any more.
    pub(super) fn leave_idle_suspects(&mut self) {
        let wanted = self.levers.claim_auto() && !self.levers.holds() || self.levers.asked.is_some();
        if !wanted {
            self.suspects.forget_idle();
        }
    }

    fn busy_with(&self, doing: &'static str) -> ControlError {
        ControlError::Busy { consumer: self.context.consumer.to_string(), doing }
    }

    /// Takes what was asked for a step further.
    pub(super) fn pull_levers(&mut self) {
        let pause = self.context.settings.claim_interval;
        if self.levers.asked.as_mut().is_some_and(|asked| asked.is_done(pause)) {
            if let Some(asked) = self.levers.asked.take() {
                asked.answer();
            }
        } else if let Some(asked) = self.levers.asked.as_ref().filter(|asked| asked.wants_page()) {
            self.claiming.next = self.claiming.next.min(asked.next);
        }
        if self
            .levers
            .handover
            .as_ref()
            .is_some_and(|handover| !handover.is_moving && handover.reply.is_closed())
        {
            // Nobody waits for it any more: the consumer goes on.
            self.levers.handover = None;
        }
        let handover = self.levers.handover.as_ref().filter(|handover| !handover.is_moving);
        let is_claiming =
            self.claiming.job.is_running() || !self.parking.is_quiet() || !self.suspects.is_quiet();
        let is_still = !is_claiming && *self.levers.at_rest.borrow();
        if handover.is_some() && is_still && *self.name_held.borrow() {
            self.hand_over();
        }
    }

    /// Nothing is on its way in: what was not started, and what is nobody's work, goes to the peer.
    fn hand_over(&mut self) {
        while let Ok(entries) = self.incoming.try_recv() {
            self.accept_new(entries);
        }
        let Some(handover) = &mut self.levers.handover else { return };
        handover.is_moving = true;
        let to = handover.to.clone();
        let taken = self.queue.take_unstarted();
        let unstarted: Vec<StreamId> = taken.iter().map(|delivery| delivery.row).collect();
        let waiting = self.waiting();
        let known: HashSet<StreamId> = self.in_flight.keys().copied().collect();
        let context = Arc::clone(&self.context);
        self.background.spawn(async move {
            let result = move_rows(&context, &to, &unstarted, &waiting, &known).await;
            Background::HandedOver { taken, waiting, result }
        });
    }

    pub(super) fn on_handed_over(
        &mut self,
        taken: Vec<Delivery>,
        waiting: &[StreamId],
        result: Result<HandedOver, HandoverError>,
    ) {
        match &result {
            Ok(_) => {
                for row in taken.iter().map(|delivery| &delivery.row).chain(waiting) {
                    self.forget(*row, DeliveryOutcome::Released);
                }
                // What was dropped, and what waited for its turn, is the peer's too.
                self.levers.dropped.clear();
                self.suspects.forget_own();
            }
            Err(error) => {
                tracing::warn!(group = %self.context.group, consumer = %self.context.consumer, %error, "a handover failed");
                // Still to be done here. What was moved before the failure may be done twice.
                for delivery in taken {
                    self.queue.push(delivery);
                }
            }
        }
        let kept = self.in_flight.len() as u64;
        if let Some(handover) = self.levers.handover.take() {
            let answer = result.map(|moved| HandedOver { kept, ..moved }).map_err(|error| match error {
                HandoverError::Redis(error) => ControlError::Redis(error),
                HandoverError::PeerGone(name) | HandoverError::SourceAlive(name) => {
                    ControlError::NotAPeer(name)
                }
            });
            _ = handover.reply.send(answer);
        }
    }
}

/// Moves the rows that were never started, those that wait for another attempt, and whatever else is the consumer's
/// and not known to it.
async fn move_rows(
    context: &Context,
    to: &str,
    unstarted: &[StreamId],
    waiting: &[StreamId],
    known: &HashSet<StreamId>,
) -> Result<HandedOver, HandoverError> {
    let mut others = match unknown_rows(context, known).await {
        // Nothing has been sent back yet.
        Err(error) if error.kind() == ErrorKind::NoGroup && context.is_redrive() => Vec::new(),
        others => others?,
    };
    others.extend(waiting);
    let (group, from) = (&*context.group, &*context.consumer);
    let idle = context.settings.given_idle();
    let request = HandoverRequest { group, from, to, idle, only_if_dead: false };
    let moved = context.stream.handover_rows(&request, unstarted, &others).await?;
    Ok(HandedOver { moved: moved.moved, lost: moved.lost, kept: 0 })
}

async fn unknown_rows(context: &Context, known: &HashSet<StreamId>) -> Result<Vec<StreamId>, Error> {
    let mut unknown = Vec::new();
    let mut start = StreamId::MIN;
    loop {
        let consumer = Some(&*context.consumer);
        let filter = PendingFilter { start, count: PAGE, consumer, ..PendingFilter::default() };
        let rows = context.stream.pending(&context.group, &filter).await?;
        let (is_last, next) = (rows.len() < PAGE, rows.last().and_then(|row| row.id.next()));
        unknown.extend(rows.into_iter().map(|row| row.id).filter(|id| !known.contains(id)));
        match next {
            Some(next) if !is_last && unknown.len() < HANDOVER_MAX => start = next,
            _ => return Ok(unknown),
        }
    }
}
