//! Suspects: entries whose deliveries ended nobody knows how, and that may be what kills processes.
//!
//! They are left where they are until nothing else runs in the worker; only then one of them is claimed, and run at
//! once. So what is claimed from others for the third time or later (for the second, if there are only two) is an attempt,
//! made alone: what kills the process takes no other attempt along, and a claim dead-letters no entry that was never tried
//! alone, but for one whose owner died in its last attempt after orderly failures in all the ones before. What can still
//! count a delivery without an attempt is a process that dies between the claim's answer and the handler's first step,
//! and an XCLAIM by hand. With `max_deliveries` 1 the first delivery is the last, alone or not.

use std::{collections::VecDeque, sync::Arc};

use tokio::time::Instant;

use super::{
    engine::{Background, Engine},
    isolation::Suspect,
    job::Job,
    process::Process,
    settings::CLAIM_PAGE,
};
use crate::{ClaimRequest, Claimed, Error, ErrorKind, StreamId};

/// What this consumer knows of suspects, and its turn to run one.
#[derive(Debug)]
pub(super) struct Suspects {
    /// Its own, pending from before a restart or due for another attempt, and how often they were delivered.
    pub(super) own: VecDeque<(StreamId, u64)>,
    /// Others, seen idle by the current pass over the pending list. Not more than a page: the next pass finds the rest.
    idle: VecDeque<(StreamId, u64)>,
    /// Which turn it was when those were seen.
    seen: u64,
    /// What was claimed without an answer: to be asked again before anything else.
    unanswered: Option<Wanted>,
    turn: Option<Suspect>,
    job: Job,
    /// The one that runs.
    running: Option<StreamId>,
    not_before: Instant,
}

/// Of these entries one is to be claimed.
#[derive(Debug)]
pub(super) struct Wanted {
    own: bool,
    entries: Vec<(StreamId, u64)>,
    again: bool,
}

impl Suspects {
    pub(super) fn new() -> Self {
        Self {
            own: VecDeque::new(),
            idle: VecDeque::new(),
            seen: 0,
            unanswered: None,
            turn: None,
            job: Job::default(),
            running: None,
            not_before: Instant::now(),
        }
    }

    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.idle.is_empty() && self.unanswered.is_none()
    }

    /// Notes what a page of a claim has left, `own` the consumer's own.
    pub(super) fn note(&mut self, suspects: &[(StreamId, u64)], own: bool, turn: u64) {
        if own {
            self.own.extend(suspects);
        } else {
            let room = CLAIM_PAGE.saturating_sub(self.idle.len());
            self.idle.extend(suspects.iter().take(room));
            self.seen = turn;
        }
    }

    /// A new pass over the pending list finds what is still idle.
    pub(super) fn forget_idle(&mut self) {
        self.idle.clear();
    }

    /// Whether this is one of the consumer's own that wait for their turn.
    pub(super) fn knows(&self, id: StreamId) -> bool {
        let unanswered = self.unanswered.iter().flat_map(|wanted| &wanted.entries);
        self.own.iter().chain(unanswered).any(|(known, _)| *known == id)
    }

    /// The consumer's own were given to somebody else.
    pub(super) fn forget_own(&mut self) {
        self.own.clear();
        self.unanswered = None;
    }

    /// Whether none is being claimed, and none runs.
    pub(super) fn is_quiet(&self) -> bool {
        !self.job.is_running() && self.running.is_none()
    }

    fn next_wanted(&mut self) -> Wanted {
        if let Some(unanswered) = self.unanswered.take() {
            return unanswered;
        }
        let own = !self.own.is_empty();
        let list = if own { &mut self.own } else { &mut self.idle };
        let entries = list.drain(..list.len().min(CLAIM_PAGE)).collect();
        Wanted { own, entries, again: false }
    }

    /// Gives up the turn, unless its suspect runs or is being claimed.
    fn stand_back_unless_busy(&mut self) {
        if !self.job.is_running() {
            self.stand_back();
        }
    }

    /// Gives up the turn, unless its suspect runs.
    pub(super) fn stand_back(&mut self) {
        if self.running.is_none() {
            self.turn = None;
        }
    }
}

impl<P: Process> Engine<P> {
    /// Whether a suspect of this consumer wants its turn, or has it: then nothing new should be read.
    pub(super) fn wants_turn(&self) -> bool {
        let suspects = &self.suspects;
        suspects.turn.is_some() || !suspects.is_empty() && Instant::now() >= self.turn_not_before()
    }

    /// When a suspect of this consumer may want its turn; `None` if it has no suspect, or the time has come.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        if self.suspects.is_empty() || self.suspects.turn.is_some() {
            return None;
        }
        Some(self.turn_not_before()).filter(|at| *at > Instant::now())
    }

    fn turn_not_before(&self) -> Instant {
        self.context.isolation.rest_until().max(self.suspects.not_before)
    }

    /// Brings the next suspect nearer to its start: asks for the turn once everything that is ready here was started,
    /// waits until nothing runs in the worker, claims one.
    pub(super) fn advance_suspects(&mut self) {
        // Each time: a claim that was under way when a lever was moved notes some afterwards.
        self.leave_idle_suspects();
        if self.suspects.is_empty() && self.suspects.turn.is_none() {
            return;
        }
        if self.levers.handover.is_some() {
            // They may be somebody else's by then.
            return self.suspects.stand_back_unless_busy();
        }
        if self.suspects.turn.is_none() {
            if self.queue.is_ready() || !self.wants_turn() || !*self.name_held.borrow() {
                return;
            }
            if self.are_idle_suspects_old() {
                self.suspects.forget_idle();
                self.claiming.start_over();
                return;
            }
            self.suspects.turn = self.context.isolation.announce();
        }
        let Some(turn) = &self.suspects.turn else { return };
        if self.suspects.running.is_some() || self.suspects.job.is_running() || !turn.is_alone() {
            return;
        }
        if !*self.name_held.borrow() {
            self.suspects.turn = None;
            return;
        }
        let wanted = self.suspects.next_wanted();
        if wanted.entries.is_empty() {
            self.suspects.turn = None;
            return;
        }
        self.suspects.job.start();
        let context = Arc::clone(&self.context);
        self.background.spawn(async move {
            let request = ClaimRequest {
                only: &wanted.entries,
                again: wanted.own || wanted.again,
                ..context.claim_request(wanted.own.then_some(&*context.consumer), 1)
            };
            let result = context.stream.claim_idle(&request).await;
            Background::SuspectClaimed { wanted, result }
        });
    }

    /// Since they were seen, another consumer has had its turn, perhaps with one of them. Where nobody looks for idle
    /// entries by itself they are kept: a claim in vain costs little.
    fn are_idle_suspects_old(&self) -> bool {
        let Suspects { own, idle, unanswered, seen, .. } = &self.suspects;
        let only_idle = own.is_empty() && unanswered.is_none() && !idle.is_empty();
        only_idle && self.levers.claim_auto() && *seen != self.context.isolation.turns()
    }

    pub(super) fn on_suspect_claimed(&mut self, wanted: Wanted, result: Result<Claimed, Error>) {
        let (gone, maybe_applied) = match &result {
            Err(error) => (error.kind() == ErrorKind::NoGroup, error.may_have_been_applied()),
            Ok(_) => (false, false),
        };
        let Some(mut claimed) = self.suspects.job.end(&self.context, "claiming a suspect", result) else {
            self.suspects.turn = None;
            if gone {
                // A group that is recreated delivers them again by itself.
                self.lose_parked(wanted.entries.iter().map(|(id, _)| *id));
            } else {
                let again = wanted.again || maybe_applied;
                self.suspects.unanswered = Some(Wanted { again, ..wanted });
                self.suspects.not_before = Instant::now() + self.context.settings.claim_interval_jittered();
            }
            return;
        };
        self.note_dead(&claimed);
        let left = std::mem::take(&mut claimed.suspects);
        if wanted.own {
            let still: Vec<StreamId> = left.iter().map(|(id, _)| *id).collect();
            let entry = claimed.entries.first().map(|claimed| claimed.entry.id);
            let lost = wanted
                .entries
                .iter()
                .map(|(id, _)| *id)
                .filter(|id| !still.contains(id) && Some(*id) != entry);
            self.lose_parked(lost);
            for (id, deliveries) in left.into_iter().rev() {
                // The count that was asked for: one that was postponed is counted at the server already.
                let asked = wanted.entries.iter().find(|(known, _)| *known == id);
                self.suspects.own.push_front((id, asked.map_or(deliveries, |(_, asked)| *asked)));
            }
        } else {
            self.suspects.idle.extend(left);
        }
        if let Some(entry) = claimed.entries.pop()
            && let Some(delivery) = self.deliver_again(entry, false)
        {
            if !wanted.own {
                self.context.metrics.claimed();
                self.levers.claimed_suspect(delivery.row, delivery.id);
            }
            if self.claiming.stop.is_cancelled() {
                // A drain starts nothing.
                self.queue.push(delivery);
            } else {
                self.suspects.running = Some(delivery.row);
                self.spawn(vec![delivery]);
                return;
            }
        }
        self.suspects.turn = None;
        self.suspects.seen = self.context.isolation.turns();
    }

    /// Ends the turn if this was its suspect.
    pub(super) fn end_turn(&mut self, row: StreamId) {
        if self.suspects.running == Some(row) {
            self.suspects.running = None;
            self.suspects.turn = None;
            // What is known of the others comes from the claim that began it.
            self.suspects.seen = self.context.isolation.turns();
        }
    }
}
