//! Claiming: this consumer's own pending entries first, then whatever has been idle for too long.

use std::{sync::Arc, time::Duration};

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
use crate::{ClaimRequest, Claimed, ClaimedEntry, Error, ErrorKind, PendingFilter, PendingRow, StreamId};

/// What to claim.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    /// This consumer's own pending entries, however long they have been idle.
    Own,
    /// Those of them that nobody is at work on, handed over to this consumer, and how often they were delivered.
    Given(Vec<(StreamId, u64)>),
    /// Whatever has been idle for too long.
    Idle,
    /// What an operator asked for: entries idle for so long, of this consumer or of all.
    Asked { min_idle: Duration, from: Option<String> },
}

/// Where the claiming of idle entries stands.
pub(super) struct Claiming {
    /// Go on after this entry; `None` from the start of the pending list.
    after: Option<StreamId>,
    /// Taking over this consumer's own pending entries, which comes before anything is read.
    pub(super) own: bool,
    /// Looking for what was handed over to this consumer, which comes before what is anybody's.
    pub(super) given: bool,
    /// What the claim under way is for.
    scope: Scope,
    pub(super) job: Job,
    pub(super) next: Instant,
    /// Ends a claim that still waits for room: a drain makes none.
    pub(super) stop: CancellationToken,
    /// The same for once: a handover does not wait for room, of which it makes some.
    pub(super) waits: CancellationToken,
}

impl Claiming {
    pub(super) fn new() -> Self {
        let stop = CancellationToken::new();
        Self {
            after: None,
            own: true,
            given: false,
            scope: Scope::Own,
            job: Job::default(),
            next: Instant::now(),
            waits: stop.child_token(),
            stop,
        }
    }

    /// Claims that wait for room come to nothing; those to come are not affected.
    pub(super) fn stop_waiting(&mut self) {
        std::mem::replace(&mut self.waits, self.stop.child_token()).cancel();
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
        // What could not be started for a while is better left to others. What is claimed while a handover looks for rows
        // that are nobody's work would be given away with them.
        let full = self.is_parking_full() || self.suspects.own.len() >= CLAIM_PAGE;
        let hands_over = self.levers.handover.is_some();
        if full || hands_over || !*self.name_held.borrow() || self.context.isolation.is_announced() {
            if let Some(asked) = &mut self.levers.asked {
                asked.next = self.claiming.next;
            }
            return;
        }
        let asked = self.levers.asked.as_ref().filter(|asked| asked.wants_page());
        let holds = self.levers.holds();
        if self.claiming.own && !holds {
            self.start_claim(Scope::Own, self.claiming.after);
        } else if let Some(asked) = asked {
            let scope = Scope::Asked { min_idle: asked.min_idle, from: asked.from.clone() };
            self.start_claim(scope, asked.after);
        } else if self.claiming.given && !holds && self.suspects.is_quiet() {
            self.look_for_given();
        } else if self.levers.claim_auto() && !holds {
            self.start_claim(Scope::Idle, self.claiming.after);
        } else {
            self.claiming.after = None;
            self.claiming.given = true;
        }
    }

    /// Looks for entries of this consumer that it does not know: somebody has handed them over.
    fn look_for_given(&mut self) {
        self.claiming.job.start();
        let context = Arc::clone(&self.context);
        let count = CLAIM_PAGE + self.levers.dropped.len();
        self.background.spawn(async move {
            let filter = PendingFilter {
                min_idle: Some(context.settings.given_idle()),
                count,
                consumer: Some(&context.consumer),
                ..PendingFilter::default()
            };
            let rows = context.stream.pending(&context.group, &filter).await;
            Background::Given(match rows {
                // Nothing has been sent back yet.
                Err(error) if error.kind() == ErrorKind::NoGroup && context.is_redrive() => Ok(Vec::new()),
                rows => rows,
            })
        });
    }

    pub(super) fn on_given(&mut self, result: Result<Vec<PendingRow>, Error>) {
        let rows = self.claiming.job.end(&self.context, "looking for what was handed over", result);
        let rows = rows.unwrap_or_default();
        let unknown = |(id, _): &(StreamId, u64)| {
            !self.in_flight.contains_key(id) && !self.levers.dropped.contains(id) && !self.suspects.knows(*id)
        };
        let rows = rows.into_iter().map(|row| (row.id, row.deliveries));
        let rows: Vec<_> = rows.filter(unknown).take(CLAIM_PAGE).collect();
        self.claiming.given = false;
        if rows.is_empty() || self.levers.holds() || !*self.name_held.borrow() {
            if self.levers.claim_auto() {
                self.claiming.next = Instant::now();
            } else {
                self.claiming.given = true;
            }
        } else {
            self.start_claim(Scope::Given(rows), None);
        }
    }

    fn start_claim(&mut self, scope: Scope, after: Option<StreamId>) {
        self.claiming.job.start();
        self.claiming.scope = scope.clone();
        let (own, turn) = (matches!(scope, Scope::Own | Scope::Given(_)), self.context.isolation.turns());
        let (context, permits) = (Arc::clone(&self.context), Arc::clone(&self.permits));
        let (waits, name_held) = (self.claiming.waits.clone(), self.name_held.clone());
        self.background.spawn(async move {
            let page = tokio::select! {
                biased;
                () = waits.cancelled() => 0,
                page = reserve(&permits, CLAIM_PAGE) => page,
            };
            // The wait may have been long.
            let still_ours = page > 0 && *name_held.borrow();
            if !still_ours {
                return Background::Claimed { reserved: page, own, turn, result: None };
            }
            let result = claim_page(&context, &scope, after, page).await;
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
        let is_asked = matches!(self.claiming.scope, Scope::Asked { .. });
        if let Some(Err(error)) = &result
            && is_asked
            && let Some(asked) = self.levers.asked.take()
        {
            asked.fail(error.clone());
        }
        let result =
            result.map(|result| self.claiming.job.end(&self.context, "claiming idle entries", result));
        let Some(Some(mut claimed)) = result else {
            self.claiming.job.cancel();
            self.permits.add_permits(reserved);
            return;
        };
        let mut asked = if is_asked { self.levers.asked.take() } else { None };
        if let Some(asked) = &mut asked {
            asked.on_page(&claimed);
        }
        self.note_dead(&claimed);
        if self.claiming.after.is_none() {
            self.suspects.forget_idle();
        }
        self.suspects.note(&claimed.suspects, own, turn);
        self.permits.add_permits(reserved - claimed.entries.len());
        for claimed in std::mem::take(&mut claimed.entries) {
            self.context.metrics.claimed();
            self.levers.dropped.remove(&claimed.entry.id);
            let Some(delivery) = self.deliver_again(claimed, true) else { continue };
            if let Some(asked) = &mut asked {
                asked.on_claimed(delivery.row, delivery.id);
            }
            self.queue.push(delivery);
        }
        if is_asked {
            self.levers.asked = asked;
            return;
        }
        self.claiming.after = claimed.next;
        // A list longer than a page goes on at once; after the own entries come those of others.
        let ended = claimed.next.is_none();
        match self.claiming.scope {
            Scope::Own if ended => self.claiming.own = false,
            Scope::Given(_) => self.claiming.after = None,
            Scope::Idle if ended => {
                self.claiming.given = true;
                return;
            }
            _ => {}
        }
        self.claiming.next = Instant::now();
    }

    /// Counts, logs and forgets what a claim has made dead letters.
    pub(super) fn note_dead(&mut self, claimed: &Claimed) {
        if let Some(error) = &claimed.refused {
            self.context.report("dead-lettering what a claim found failed", error);
        }
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
    scope: &Scope,
    after: Option<StreamId>,
    page: usize,
) -> Result<Claimed, Error> {
    // Suspects are left where they are until nothing else runs.
    let own = || context.claim_request(Some(&*context.consumer), 0);
    let anybodys = || context.claim_request(None, 0);
    let request = match scope {
        Scope::Own => own(),
        Scope::Given(only) => {
            let only = &only[..page.min(only.len())];
            ClaimRequest { min_idle: context.settings.given_idle(), only, ..own() }
        }
        Scope::Idle => anybodys(),
        Scope::Asked { min_idle, from } => {
            ClaimRequest { min_idle: *min_idle, owner: from.as_deref(), ..anybodys() }
        }
    };
    let request = ClaimRequest { after, page, ..request };
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
