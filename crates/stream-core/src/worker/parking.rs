//! Parking: entries that failed wait at their owner for their next attempt, without their payload, without a handler's
//! slot and without room that reads or claims could use. Their leases are renewed like all others.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Delivery, WorkerSettings,
    claiming::reserve,
    engine::{Background, Engine},
    isolation::Busy,
    job::Job,
    metrics::DeliveryOutcome,
    process::Process,
    settings::CLAIM_PAGE,
};
use crate::{ClaimRequest, Claimed, Error, ErrorKind, StreamId};

/// The longest time that a handler may put an entry off: beyond it, it is a matter for dead letters.
const AFTER_MAX: Duration = Duration::from_hours(24);

/// What is kept of an entry that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parked {
    /// How often it was delivered, without a delivery that was postponed: the claim for its next attempt finds that
    /// one counted already, as after a claim whose answer was lost, and does not count it again.
    pub(super) deliveries: u64,
    /// How many of those ended in an orderly failure here.
    pub(super) failures: u64,
    due: Instant,
    /// It is being claimed for its next attempt.
    claiming: bool,
    /// Its delivery is not to count.
    postponed: bool,
}

impl Parked {
    /// Whether its next delivery would be that of a suspect.
    fn is_suspect(&self, settings: &WorkerSettings) -> bool {
        self.deliveries + 1 - self.failures.min(self.deliveries) >= settings.suspect_deliveries()
    }

    /// Whether it was delivered once, and that is not to count.
    pub(super) const fn was_never_tried(&self) -> bool {
        self.postponed && self.deliveries == 0
    }

    /// Whether its loss may be recorded: nobody is about to hold its payload.
    pub(super) const fn waits(&self) -> bool {
        !self.claiming
    }
}

/// The entries that wait, by when they are due.
#[derive(Debug)]
pub(super) struct Parking {
    due: BTreeSet<(Instant, StreamId)>,
    /// All that wait, also those that are due and wait for a suspect's turn.
    pub(super) count: usize,
    job: Job,
    not_before: Instant,
}

impl Parking {
    pub(super) fn new() -> Self {
        Self { due: BTreeSet::new(), count: 0, job: Job::default(), not_before: Instant::now() }
    }

    /// Whether nothing is being claimed.
    pub(super) const fn is_quiet(&self) -> bool {
        !self.job.is_running()
    }

    /// When to look again; `None` while nothing waits, or what is due is being claimed.
    pub(super) fn next(&self) -> Option<Instant> {
        let (due, _) = self.due.first().filter(|_| !self.job.is_running())?;
        Some((*due).max(self.not_before))
    }
}

impl WorkerSettings {
    /// How long an entry waits after its `attempt`th failed attempt.
    fn retry_delay(&self, attempt: u64, after: Option<Duration>) -> Duration {
        if let Some(after) = after {
            return after.min(AFTER_MAX);
        }
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.retry_base.as_secs_f64() * self.retry_factor.max(1.0).powi(exponent);
        let jitter = 1.0 + self.retry_jitter.clamp(0.0, 1.0) * (2.0 * fastrand::f64() - 1.0);
        let seconds = grown.min(self.retry_cap.as_secs_f64()) * jitter;
        Duration::try_from_secs_f64(seconds).unwrap_or(self.retry_cap)
    }
}

impl<P: Process> Engine<P> {
    /// Whether so many wait that nothing more is read or claimed from others.
    pub(super) fn is_parking_full(&self) -> bool {
        self.parking.count >= self.context.settings.max_parked.max(1)
    }

    /// Lets a delivery that failed wait for its next attempt.
    pub(super) fn park(&mut self, delivery: &Delivery, reason: &str, after: Option<Duration>) {
        let Delivery { id, deliveries, failures, .. } = *delivery;
        let delay = self.context.settings.retry_delay(deliveries, after);
        let now = Instant::now();
        // A dependency that is down must not flood the log.
        if let Some(suppressed) = self.context.health.may_repeat(("handling failed", "retry"), 1, now) {
            tracing::warn!(
                group = %self.context.group, consumer = %self.context.consumer, entry = %id,
                attempt = deliveries, reason, ?delay, suppressed,
                "handling failed; the entry is tried again"
            );
        }
        let failures = failures + 1;
        let parked = Parked { deliveries, failures, due: now + delay, claiming: false, postponed: false };
        self.wait(delivery.row, parked, DeliveryOutcome::Retried);
    }

    /// Lets a delivery wait that is not to count: it says nothing about the entry.
    pub(super) fn postpone(&mut self, delivery: &Delivery, reason: &str, after: Duration) {
        let Delivery { id, row, deliveries, failures, .. } = *delivery;
        let delay = after.min(AFTER_MAX);
        let now = Instant::now();
        if let Some(suppressed) = self.context.health.may_repeat(("postponed", "postponed"), 1, now) {
            tracing::warn!(
                group = %self.context.group, consumer = %self.context.consumer, entry = %id, reason, ?delay, suppressed,
                "postponed; the entry waits, and this delivery does not count"
            );
        }
        let deliveries = deliveries.saturating_sub(1);
        let parked = Parked { deliveries, failures, due: now + delay, claiming: false, postponed: true };
        self.wait(row, parked, DeliveryOutcome::Postponed);
        if deliveries > 0 {
            self.take_back_delivery(row);
        }
    }

    /// Gives an entry that was tried before its count back at the server: whoever takes it over, should this process end,
    /// must not find its attempts used up. Once is enough: the claim for its next attempt finds it counted or not.
    fn take_back_delivery(&mut self, row: StreamId) {
        let context = Arc::clone(&self.context);
        self.background.spawn(async move {
            let result = context.stream.take_back_delivery(&context.group, &context.consumer, row).await;
            Background::DeliveryTakenBack(result)
        });
    }

    fn wait(&mut self, row: StreamId, parked: Parked, outcome: DeliveryOutcome) {
        self.context.metrics.delivered(outcome, 1);
        self.levers.ended(row, outcome);
        let Some(held) = self.in_flight.get_mut(&row) else { return };
        let due = parked.due;
        held.parked = Some(parked);
        if std::mem::take(&mut held.permit) {
            self.permits.add_permits(1);
        }
        self.parking.due.insert((due, row));
        self.parking.count += 1;
        self.context.metrics.in_flight.dec();
        self.context.metrics.parked.inc();
    }

    /// Takes an entry out that waited: it goes on here, or it is not ours any more.
    pub(super) fn unpark(&mut self, id: StreamId, parked: Parked) {
        self.parking.due.remove(&(parked.due, id));
        self.parking.count -= 1;
        self.context.metrics.parked.dec();
    }

    /// Whether what is due should be claimed: a claim counts a delivery, which should be an attempt soon. While a suspect
    /// is announced nothing else is started.
    pub(super) fn may_claim_due(&self) -> bool {
        self.queue.retries() == 0 && !self.context.isolation.is_announced()
    }

    /// Claims what is due to this consumer itself, which counts the delivery, a batch in one script. Suspects wait
    /// for their turn instead.
    pub(super) fn claim_due(&mut self) {
        if !*self.name_held.borrow() || self.levers.handover.is_some() {
            // Others may act under this name, or are given what waits here.
            self.parking.not_before = Instant::now() + self.context.settings.claim_interval_jittered();
            return;
        }
        let now = Instant::now();
        // Not more than can be started soon: a claim counts a delivery, which should be an attempt.
        let batch = self.slots().min(CLAIM_PAGE);
        let due: Vec<(Instant, StreamId)> =
            self.parking.due.iter().take_while(|(due, _)| *due <= now).take(batch).copied().collect();
        let mut wanted = Vec::with_capacity(due.len());
        for key in due {
            let held = self.in_flight.get_mut(&key.1);
            let Some(parked) = held.and_then(|held| held.parked.as_mut()) else {
                self.parking.due.remove(&key);
                continue;
            };
            if parked.is_suspect(&self.context.settings) {
                self.parking.due.remove(&key);
                self.suspects.own.push_back((key.1, parked.deliveries));
            } else {
                parked.claiming = true;
                wanted.push((key.1, parked.deliveries));
            }
        }
        if wanted.is_empty() {
            return;
        }
        self.parking.job.start();
        let (context, permits) = (Arc::clone(&self.context), Arc::clone(&self.permits));
        let waits = self.claiming.waits.clone();
        self.background.spawn(async move {
            let reserved = tokio::select! {
                biased;
                () = waits.cancelled() => 0,
                room = reserve(&permits, wanted.len()) => room,
            };
            // Busy from now on: a suspect that is announced meanwhile waits until these have run. They are counted, and
            // were it to kill the process first, without an attempt.
            let busy = if reserved == 0 { None } else { context.isolation.enter() };
            let unasked = wanted.split_off(if busy.is_some() { reserved } else { 0 });
            let result = if busy.is_none() {
                None
            } else {
                let request = ClaimRequest {
                    only: &wanted,
                    again: true,
                    ..context.claim_request(Some(&*context.consumer), usize::MAX)
                };
                Some(context.stream.claim_idle(&request).await)
            };
            Background::DueClaimed { reserved, busy, wanted, unasked, result }
        });
    }

    /// `None`: nothing was asked of Redis.
    pub(super) fn on_due_claimed(
        &mut self,
        reserved: usize,
        busy: Option<Busy>,
        wanted: &[(StreamId, u64)],
        unasked: &[(StreamId, u64)],
        result: Option<Result<Claimed, Error>>,
    ) {
        for (id, _) in wanted.iter().chain(unasked) {
            if let Some(parked) = self.in_flight.get_mut(id).and_then(|held| held.parked.as_mut()) {
                parked.claiming = false;
            }
        }
        let gone = matches!(&result, Some(Err(error)) if error.kind() == ErrorKind::NoGroup);
        let result = result.map(|result| {
            self.parking.job.end(&self.context, "claiming entries for their next attempt", result)
        });
        let Some(Some(mut claimed)) = result else {
            self.parking.job.cancel();
            self.permits.add_permits(reserved);
            self.parking.not_before = Instant::now() + self.context.settings.claim_interval_jittered();
            if gone {
                // A group that is recreated delivers them again by itself.
                self.lose_parked(wanted.iter().map(|(id, _)| *id));
            }
            return;
        };
        self.note_dead(&claimed);
        self.busy = self.busy.take().or(busy);
        self.permits.add_permits(reserved - claimed.entries.len());
        for claimed in std::mem::take(&mut claimed.entries) {
            if let Some(delivery) = self.deliver_again(claimed, true) {
                self.queue.push_retry(delivery);
            }
        }
        self.lose_parked(wanted.iter().map(|(id, _)| *id));
    }

    /// Forgets what still waits of these entries: they are not ours any more.
    pub(super) fn lose_parked(&mut self, ids: impl Iterator<Item = StreamId>) {
        for id in ids {
            if self.in_flight.get(&id).is_some_and(|held| held.parked.is_some()) {
                self.forget(id, DeliveryOutcome::OwnershipLost);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> WorkerSettings {
        WorkerSettings {
            retry_base: Duration::from_millis(100),
            retry_factor: 3.0,
            retry_cap: Duration::from_secs(2),
            retry_jitter: 0.0,
            ..WorkerSettings::default()
        }
    }

    #[test]
    fn delays_grow_by_the_factor_up_to_the_cap() {
        let delays =
            [1, 2, 3, 4, 5, u64::MAX].map(|attempt| settings().retry_delay(attempt, None).as_millis());
        assert_eq!(delays, [100, 300, 900, 2_000, 2_000, 2_000]);
    }

    #[test]
    fn jitter_spreads_them_both_ways() {
        let settings = WorkerSettings { retry_jitter: 0.5, ..settings() };
        let delays: Vec<u128> = (0..1_000).map(|_| settings.retry_delay(1, None).as_millis()).collect();
        assert!(delays.iter().all(|delay| (50..=150).contains(delay)));
        assert!(delays.iter().any(|delay| *delay < 90) && delays.iter().any(|delay| *delay > 110));
    }

    #[test]
    fn what_the_handler_asks_for_is_kept_to_but_not_for_ever() {
        let delay = |after| settings().retry_delay(4, Some(after));
        assert_eq!(delay(Duration::ZERO), Duration::ZERO);
        assert_eq!(delay(Duration::from_secs(77)), Duration::from_secs(77));
        assert_eq!(delay(Duration::MAX), AFTER_MAX);
    }

    #[test]
    fn orderly_failures_make_no_suspect() {
        let parked = |deliveries, failures| Parked {
            deliveries,
            failures,
            due: Instant::now(),
            claiming: false,
            postponed: false,
        };
        assert!(!parked(4, 4).is_suspect(&settings()), "all of them failed here, in order");
        assert!(!parked(3, 2).is_suspect(&settings()), "one crash");
        assert!(parked(3, 1).is_suspect(&settings()), "two deliveries ended nobody knows how");
    }
}
