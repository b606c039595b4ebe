//! [`Asked`]: a claim that somebody asked for, from the asking to the answer.

use std::{collections::HashMap, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::{
    control::{ClaimReport, ControlError},
    metrics::DeliveryOutcome,
};
use crate::{Claimed, Error, StreamId};

type Reply = oneshot::Sender<Result<ClaimReport, ControlError>>;

/// A claim that an operator asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) min_idle: Duration,
    pub(super) from: Option<String>,
    /// Answered by then, done or not.
    pub(super) deadline: Instant,
    reply: Reply,
    /// Go on after this entry.
    pub(super) after: Option<StreamId>,
    /// The list has been covered.
    covered: bool,
    /// Suspects were left, since one is to run alone first: the list is covered once more after it.
    suspects_left: bool,
    /// Not before that.
    pub(super) next: Instant,
    /// Rows claimed that have not come to an end, with their original IDs.
    outstanding: HashMap<StreamId, StreamId>,
    report: ClaimReport,
}

impl Asked {
    pub(super) fn new(min_idle: Duration, from: Option<String>, deadline: Instant, reply: Reply) -> Self {
        Self {
            min_idle,
            from,
            deadline,
            reply,
            after: None,
            covered: false,
            suspects_left: false,
            next: Instant::now(),
            outstanding: HashMap::new(),
            report: ClaimReport::default(),
        }
    }

    pub(super) fn wants_page(&self) -> bool {
        !self.covered && !self.is_full()
    }

    fn is_full(&self) -> bool {
        let ClaimReport { claimed, dead_lettered, deleted, .. } = &self.report;
        claimed.len() + dead_lettered.len() + deleted.len() >= CLAIMED_MAX
    }

    /// Takes note of a page, before its entries.
    pub(super) fn on_page(&mut self, page: &Claimed) {
        self.report.deleted.extend(&page.lost);
        self.report.dead_lettered.extend(&page.dead);
        self.suspects_left |= !page.suspects.is_empty();
        self.after = page.next;
        self.covered = page.next.is_none();
    }

    pub(super) fn on_claimed(&mut self, row: StreamId, id: StreamId) {
        self.report.claimed.push(id);
        self.outstanding.insert(row, id);
    }

    pub(super) fn ended(&mut self, row: StreamId, outcome: DeliveryOutcome) {
        let Some(id) = self.outstanding.remove(&row) else { return };
        match outcome {
            DeliveryOutcome::Acked => self.report.processed += 1,
            DeliveryOutcome::Retried | DeliveryOutcome::Postponed => self.report.retried += 1,
            DeliveryOutcome::DeadLettered => self.report.dead_lettered.push(id),
            DeliveryOutcome::OwnershipLost | DeliveryOutcome::Released | DeliveryOutcome::Abandoned => {
                self.report.unfinished += 1;
            }
        }
    }

    /// Whether everything has come to its end. Suspects that were left make another round, not before `pause` is over.
    pub(super) fn is_done(&mut self, pause: Duration) -> bool {
        if self.wants_page() || !self.outstanding.is_empty() {
            return false;
        }
        if std::mem::take(&mut self.suspects_left) && !self.is_full() {
            self.covered = false;
            self.after = None;
            self.next = Instant::now() + pause;
            return false;
        }
        true
    }

    /// Tells what has been done by now.
    pub(super) fn answer(mut self) {
        self.report.unfinished += self.outstanding.len() as u64;
        // Whoever asked may have gone.
        _ = self.reply.send(Ok(self.report));
    }

    pub(super) fn fail(self, error: Error) {
        _ = self.reply.send(Err(error.into()));
    }
}

/// Entries that one claim tells of at most: an answer of bounded size. What is left is for the next.
const CLAIMED_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_claim_is_bounded_whatever_it_tells_of() {
        let (reply, _answer) = oneshot::channel();
        let mut asked = Asked::new(Duration::ZERO, None, Instant::now(), reply);
        let ids = |from: usize| (from..from + 2_500).map(|ms| StreamId::new(ms as u64, 0)).collect();
        let mut page = Claimed::default();
        (page.lost, page.dead) = (ids(0), ids(9_000));
        (page.next, page.suspects) = (Some(StreamId::MIN), vec![(StreamId::MIN, 3)]);
        asked.on_page(&page);
        assert!(asked.wants_page());
        asked.on_page(&page);
        assert!(!asked.wants_page(), "10,000 are told of");
        assert!(asked.is_done(Duration::ZERO), "what is left, suspects too, is for the next");
    }
}
