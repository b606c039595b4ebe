//! Claiming: this consumer's own pending entries first, then whatever has been idle for too long.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    context::Context,
    engine::{Background, Engine},
    isolation::Suspect,
    job::Job,
    metrics::DeliveryOutcome,
    process::Process,
    settings::{CLAIM_PAGE, SUSPECT_DELIVERIES},
};
use crate::{ClaimRequest, Claimed, Error, ErrorKind, StreamId};

/// Where the claiming of idle entries stands.
pub(super) struct Claiming {
    /// Go on after this entry; `None` from the start of the pending list.
    after: Option<StreamId>,
    /// Taking over this consumer's own pending entries, which comes before anything is read.
    pub(super) own: bool,
    pub(super) job: Job,
    /// Suspects were left where they are, since one was waiting or running.
    pub(super) suspects_left: bool,
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
            suspects_left: false,
            next: Instant::now(),
            stop: CancellationToken::new(),
        }
    }
}

impl<P: Process> Engine<P> {
    /// Claims one page of idle entries, as soon and as far as there is room for them.
    pub(super) fn claim(&mut self) {
        self.schedule_claim();
        let claims = self.context.settings.claim_auto || self.claiming.own;
        // What could not be started for a while is better left to others.
        if !claims || !*self.name_held.borrow() || self.context.isolation.is_announced() {
            return;
        }
        self.claiming.job.start();
        let (after, own) = (self.claiming.after, self.claiming.own);
        let (context, permits) = (Arc::clone(&self.context), Arc::clone(&self.permits));
        let (stop, name_held) = (self.claiming.stop.clone(), self.name_held.clone());
        self.background.spawn(async move {
            let page = tokio::select! {
                biased;
                () = stop.cancelled() => 0,
                page = reserve(&permits) => page,
            };
            // The wait may have been long.
            let still_ours = page > 0 && *name_held.borrow();
            if !still_ours {
                return Background::Claimed { reserved: page, suspect: None, result: None };
            }
            // Only claims bring suspects.
            let suspect = context.isolation.try_suspect();
            let result = claim_page(&context, own, after, page, usize::from(suspect.is_some())).await;
            Background::Claimed { reserved: page, suspect, result: Some(result) }
        });
    }

    /// `None`: nothing was asked of Redis.
    pub(super) fn on_claimed(
        &mut self,
        reserved: usize,
        suspect: Option<Suspect>,
        result: Option<Result<Claimed, Error>>,
    ) {
        let result =
            result.map(|result| self.claiming.job.end(&self.context, "claiming idle entries", result));
        let Some(Some(claimed)) = result else {
            self.claiming.job.cancel();
            self.permits.add_permits(reserved);
            return;
        };
        for (what, ids) in [("delivered too often", &claimed.dead), ("removed while pending", &claimed.lost)]
        {
            if !ids.is_empty() {
                let (count, first) = (ids.len(), ids.first());
                tracing::error!(group = %self.context.group, count, ?first, "dead letters: {what}");
                self.context.metrics.delivered(DeliveryOutcome::DeadLettered, ids.len() as u64);
            }
        }
        if self.claiming.after.is_none() {
            self.claiming.suspects_left = false;
        }
        self.claiming.suspects_left |= claimed.skipped_suspects > 0;
        self.permits.add_permits(reserved - claimed.entries.len());
        for claimed in claimed.entries {
            if self.take_in(claimed.entry.id) {
                self.context.metrics.claims.inc();
                let delivery = self.delivery(claimed.entry, claimed.deliveries);
                self.queue.push(delivery);
            }
        }
        if suspect.is_some() && self.queue.has_suspect() {
            self.suspect = suspect;
        }
        self.claiming.after = claimed.next;
        // A list longer than a page goes on at once; after the own entries come those of others.
        if claimed.next.is_some() || std::mem::take(&mut self.claiming.own) {
            self.claiming.next = Instant::now();
        }
    }

    fn schedule_claim(&mut self) {
        self.claiming.next = Instant::now() + self.context.settings.claim_interval_jittered();
    }
}

/// Takes room for one entry at least, for a page at most. It queues behind nobody for long: the reader, which
/// also waits for room, takes it bit by bit.
async fn reserve(permits: &Semaphore) -> usize {
    let Ok(first) = permits.acquire().await else { return 0 };
    first.forget();
    let more = permits.available_permits().min(CLAIM_PAGE - 1);
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
    suspects_allowed: usize,
) -> Result<Claimed, Error> {
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
    let result = context.stream.claim_idle(&request).await;
    if context.is_redrive() && matches!(&result, Err(error) if error.kind() == ErrorKind::NoGroup) {
        // Nothing has been sent back yet.
        return Ok(Claimed::default());
    }
    // The reader would find out too, but while a consumer takes over its own entries it does not read.
    if let Err(error) = &result
        && error.kind() == ErrorKind::NoGroup
        && let Err(error) = context.restore_group(true).await
    {
        context.report("recreating the group failed", &error);
    }
    result
}
