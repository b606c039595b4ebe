//! Claiming: this consumer's own pending entries first, then whatever has been idle for too long.

use std::sync::Arc;

use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Delivery,
    context::Context,
    engine::{Background, Engine},
    job::Job,
    process::Process,
    settings::CLAIM_PAGE,
};
use crate::{ClaimRequest, Claimed, ClaimedEntry, Error, ErrorKind, StreamId};

/// Where the claiming of idle entries stands.
pub(super) struct Claiming {
    /// Go on after this entry; `None` from the start of the pending list.
    after: Option<StreamId>,
    /// Taking over this consumer's own pending entries, which comes before anything is read.
    pub(super) own: bool,
    pub(super) job: Job,
    pub(super) next: Instant,
    /// Ends a claim that still waits for room: a drain makes none.
    pub(super) stop: CancellationToken,
}

impl Claiming {
    pub(super) fn new() -> Self {
        Self {
            after: None,
            own: true,
            job: Job::default(),
            next: Instant::now(),
            stop: CancellationToken::new(),
        }
    }

    /// Looks through the whole list anew, at once.
    pub(super) fn start_over(&mut self) {
        self.after = None;
        self.next = Instant::now();
    }
}

impl<P: Process> Engine<P> {
    /// Claims one page of idle entries, as soon and as far as there is room for them.
    pub(super) fn claim(&mut self) {
        self.schedule_claim();
        let claims = self.context.settings.claim_auto || self.claiming.own;
        // What could not be started for a while is better left to others.
        let full = self.is_parking_full() || self.suspects.own.len() >= CLAIM_PAGE;
        if !claims || full || !*self.name_held.borrow() || self.context.isolation.is_announced() {
            return;
        }
        let turn = self.context.isolation.turns();
        self.claiming.job.start();
        let (after, own) = (self.claiming.after, self.claiming.own);
        let (context, permits) = (Arc::clone(&self.context), Arc::clone(&self.permits));
        let (stop, name_held) = (self.claiming.stop.clone(), self.name_held.clone());
        self.background.spawn(async move {
            let page = tokio::select! {
                biased;
                () = stop.cancelled() => 0,
                page = reserve(&permits, CLAIM_PAGE) => page,
            };
            // The wait may have been long.
            let still_ours = page > 0 && *name_held.borrow();
            if !still_ours {
                return Background::Claimed { reserved: page, own, turn, result: None };
            }
            let result = claim_page(&context, own, after, page).await;
            Background::Claimed { reserved: page, own, turn, result: Some(result) }
        });
    }

    /// `None`: nothing was asked of Redis.
    pub(super) fn on_claimed(
        &mut self,
        reserved: usize,
        own: bool,
        turn: u64,
        result: Option<Result<Claimed, Error>>,
    ) {
        let result =
            result.map(|result| self.claiming.job.end(&self.context, "claiming idle entries", result));
        let Some(Some(mut claimed)) = result else {
            self.claiming.job.cancel();
            self.permits.add_permits(reserved);
            return;
        };
        self.note_dead(&claimed);
        if self.claiming.after.is_none() {
            self.suspects.forget_idle();
        }
        self.suspects.note(&claimed.suspects, own, turn);
        self.permits.add_permits(reserved - claimed.entries.len());
        for claimed in std::mem::take(&mut claimed.entries) {
            self.context.metrics.claims.inc();
            if let Some(delivery) = self.deliver_again(claimed, true) {
                self.queue.push(delivery);
            }
        }
        self.claiming.after = claimed.next;
        // A list longer than a page goes on at once; after the own entries come those of others.
        if claimed.next.is_some() || std::mem::take(&mut self.claiming.own) {
            self.claiming.next = Instant::now();
        }
    }

    /// Counts, logs and forgets what a claim has made dead letters.
    pub(super) fn note_dead(&mut self, claimed: &Claimed) {
        self.note_dead_ids("delivered too often", &claimed.dead);
        self.note_lost(&claimed.lost);
    }

    /// Takes in a claimed entry; `permit` says whether room was reserved for it. `None` if it is in flight already.
    pub(super) fn deliver_again(&mut self, claimed: ClaimedEntry, permit: bool) -> Option<Delivery> {
        let ClaimedEntry { entry, deliveries } = claimed;
        let parked = self.in_flight.get(&entry.id).and_then(|held| held.parked);
        let failures = parked.map_or(0, |parked| parked.failures);
        self.take_in(entry.id, permit).then(|| self.delivery(entry, deliveries, failures))
    }

    fn schedule_claim(&mut self) {
        self.claiming.next = Instant::now() + self.context.settings.claim_interval_jittered();
    }
}

/// Takes room for one entry at least, for `max` at most. It queues behind nobody for long: the reader, which
/// also waits for room, takes it bit by bit.
pub(super) async fn reserve(permits: &Semaphore, max: usize) -> usize {
    let Ok(first) = permits.acquire().await else { return 0 };
    first.forget();
    let more = permits.available_permits().min(max.saturating_sub(1));
    match permits.try_acquire_many(more as u32) {
        Ok(room) => {
            room.forget();
            1 + more
        }
        Err(_) => 1,
    }
}

async fn claim_page(
    context: &Context,
    own: bool,
    after: Option<StreamId>,
    page: usize,
) -> Result<Claimed, Error> {
    // Suspects are left where they are until nothing else runs.
    let owner = own.then_some(&*context.consumer);
    let request = ClaimRequest { after, page, ..context.claim_request(owner, 0) };
    let result = context.stream.claim_idle(&request).await;
    let no_group = matches!(&result, Err(error) if error.kind() == ErrorKind::NoGroup);
    if no_group && context.is_redrive() {
        // Nothing has been sent back yet.
        return Ok(Claimed::default());
    }
    // The reader would find out too, but while a consumer takes over its own entries it does not read.
    if no_group && let Err(error) = context.restore_group(true).await {
        context.report("recreating the group failed", &error);
    }
    result
}
