//! [`Dispatcher`]: sends a message over every lane at the same time, to whom it has not been sent yet, and says what is
//! to become of its entry.

use std::{collections::HashMap, time::Duration};

use futures_util::future::join_all;
use stream_core::{Outcome, SentMarks, StreamId};

use crate::{
    channel::{SendError, Target},
    lane::{Attempt, Lane},
    memory::{Memory, Settled},
    message::Message,
    metrics::{NotificationMetrics, SendOutcome},
};

/// How long an entry waits of which Redis does not say to whom it was sent.
const MARKS_WAIT: Duration = Duration::from_secs(1);
/// How long an entry waits whose last attempt has failed, and it is not known yet whether that is its own fault.
const DOUBT_WAIT: Duration = Duration::from_secs(1);
/// The longest reason that a dead letter is given, in bytes.
const REASON_MAX: usize = 900;

/// The lanes, and what is remembered of what went over them.
pub(crate) struct Dispatcher {
    lanes: Vec<Lane>,
    marks: SentMarks,
    memory: Memory,
    max_deliveries: u64,
    metrics: NotificationMetrics,
}

/// One message to be sent over one lane.
struct Errand<'a> {
    lane: &'a Lane,
    target: Target,
}

/// How an entry stands after this delivery.
#[derive(Debug, Default)]
struct Standing {
    known: HashMap<String, Settled>,
    refused: Vec<String>,
    failed: Vec<Failed>,
    postponed: Vec<(String, Duration)>,
}

#[derive(Debug)]
struct Failed {
    mark: String,
    reason: String,
    after: Option<Duration>,
    works: bool,
}

impl Dispatcher {
    pub(crate) const fn new(
        lanes: Vec<Lane>,
        marks: SentMarks,
        memory: Memory,
        max_deliveries: u64,
        metrics: NotificationMetrics,
    ) -> Self {
        Self { lanes, marks, memory, max_deliveries, metrics }
    }

    /// Sends the message to whom it has not been sent yet. The entry is done with once every receiver has accepted or
    /// refused; until then nobody gets it twice, and nobody waits for another.
    pub(crate) async fn dispatch(&self, message: &Message<'_>) -> Outcome {
        let mut standing = Standing { known: self.memory.take(message.id), ..Standing::default() };
        let errands = self.errands(message, &mut standing);
        let errands = match self.without_sent(message.id, errands).await {
            Ok(errands) => errands,
            Err(reason) => {
                self.memory.note(message.id, standing.known);
                return Outcome::Postpone { reason, after: MARKS_WAIT };
            }
        };
        let attempts = join_all(errands.iter().map(|errand| self.run(message, errand))).await;
        for (errand, attempt) in errands.into_iter().zip(attempts) {
            standing.note(errand.target.mark, attempt);
        }
        self.outcome(message, standing)
    }

    /// What is still to be sent, as far as this process knows.
    fn errands(&self, message: &Message<'_>, standing: &mut Standing) -> Vec<Errand<'_>> {
        let mut errands = Vec::with_capacity(self.lanes.len());
        for lane in &self.lanes {
            let mut targets = match lane.channel.targets(message) {
                Ok(targets) => targets,
                Err(SendError::Permanent(reason)) => {
                    lane.metrics.count(SendOutcome::Refused);
                    standing.refused.push(format!("{}: {reason}", lane.channel.name()));
                    // The others are told all the same.
                    lane.channel.fixed_targets()
                }
                Err(other) => {
                    standing.postponed.push((other.to_string(), MARKS_WAIT));
                    Vec::new()
                }
            };
            if targets.is_empty() && lane.channel.wants(message) {
                lane.metrics.count(SendOutcome::NoRecipient);
            }
            targets.retain(|target| match standing.known.get(&target.mark) {
                Some(Settled::Sent) => false,
                Some(Settled::Refused(reason)) => {
                    standing.refused.push(reason.clone());
                    false
                }
                None => true,
            });
            errands.extend(targets.into_iter().map(|target| Errand { lane, target }));
        }
        errands
    }

    /// Leaves out what an earlier delivery has sent, here or elsewhere: one question to Redis for all of it.
    async fn without_sent<'a>(
        &self,
        id: StreamId,
        errands: Vec<Errand<'a>>,
    ) -> Result<Vec<Errand<'a>>, String> {
        let marked: Vec<&str> = errands
            .iter()
            .filter(|errand| errand.target.is_marked)
            .map(|errand| errand.target.mark.as_str())
            .collect();
        let sent = self.marks.sent(id, &marked).await;
        let mut sent =
            sent.map_err(|error| format!("it is not known to whom it was sent: {error}"))?.into_iter();
        let mut left = Vec::with_capacity(errands.len());
        for errand in errands {
            if errand.target.is_marked && sent.next().unwrap_or(false) {
                errand.lane.metrics.count(SendOutcome::Duplicate);
            } else {
                left.push(errand);
            }
        }
        Ok(left)
    }

    /// Sends one, and marks it at once: a slower one must not make it go out again.
    async fn run(&self, message: &Message<'_>, errand: &Errand<'_>) -> Attempt {
        let attempt = errand.lane.attempt(message, &errand.target).await;
        if attempt == Attempt::Accepted
            && errand.target.is_marked
            && let Err(error) = self.marks.mark(message.id, &errand.target.mark).await
        {
            self.metrics.marks_failed.inc();
            let (entry, channel) = (message.id, errand.lane.channel.name());
            tracing::warn!(%entry, channel, %error, "sent, but the mark could not be written; it may be sent once more");
        }
        attempt
    }

    fn outcome(&self, message: &Message<'_>, mut standing: Standing) -> Outcome {
        let last = message.attempt >= self.max_deliveries;
        if last {
            standing.last_attempt(message.attempt);
        }
        let outcome = standing.outcome();
        // What is acked or a dead letter comes back only if somebody wants it to, and then everything is tried again.
        let is_last = last && matches!(outcome, Outcome::Retry { .. });
        if matches!(outcome, Outcome::Retry { .. } | Outcome::Postpone { .. }) && !is_last {
            self.memory.note(message.id, standing.known);
        }
        outcome
    }
}

impl Standing {
    fn note(&mut self, mark: String, attempt: Attempt) {
        match attempt {
            Attempt::Accepted => drop(self.known.insert(mark, Settled::Sent)),
            Attempt::Refused(reason) => {
                self.refused.push(reason.clone());
                self.known.insert(mark, Settled::Refused(reason));
            }
            Attempt::Failed { reason, after, works } => {
                self.failed.push(Failed { mark, reason, after, works });
            }
            Attempt::Postponed { reason, after } => self.postponed.push((reason, after)),
        }
    }

    /// What failed in the last attempt that there is. An entry is given up only for what is its own fault: a breaker that
    /// has not seen its channel work, as after a restart, cannot say yet.
    fn last_attempt(&mut self, attempt: u64) {
        let (own, doubtful): (Vec<Failed>, Vec<Failed>) =
            std::mem::take(&mut self.failed).into_iter().partition(|failed| failed.works);
        for failed in doubtful {
            let after = failed.after.unwrap_or(DOUBT_WAIT.mul_f64(1.0 + fastrand::f64()));
            self.postponed.push((failed.reason, after));
        }
        if self.postponed.is_empty() {
            self.failed = own;
            return;
        }
        // These have had their attempts; the others are still to have theirs.
        for failed in own {
            let reason = format!("given up after {attempt} attempts: {}", failed.reason);
            self.known.insert(failed.mark, Settled::Refused(reason));
        }
    }

    /// Failures count; what only waits does not; and nothing is given up before everything has been tried.
    fn outcome(&self) -> Outcome {
        if !self.failed.is_empty() {
            // As the settings say, if one of them has no wish of its own; else when the first may be tried again.
            let mut afters: Vec<Option<Duration>> = self.failed.iter().map(|failed| failed.after).collect();
            afters.sort_unstable();
            let after = afters.first().copied().flatten();
            return Outcome::Retry {
                reason: reasons(self.failed.iter().map(|failed| &failed.reason)),
                after,
            };
        }
        if let Some(after) = self.postponed.iter().map(|(_, after)| *after).min() {
            let reason = reasons(self.postponed.iter().map(|(reason, _)| reason));
            return Outcome::Postpone { reason, after };
        }
        if self.refused.is_empty() {
            return Outcome::Ack;
        }
        Outcome::DeadLetter { reason: reasons(self.refused.iter()) }
    }
}

fn reasons<'a>(reasons: impl Iterator<Item = &'a String>) -> String {
    let mut joined = reasons.map(String::as_str).collect::<Vec<_>>().join("; ");
    joined.truncate(joined.floor_char_boundary(REASON_MAX));
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn standing(attempts: impl IntoIterator<Item = Attempt>) -> Standing {
        let mut standing = Standing::default();
        for (index, attempt) in attempts.into_iter().enumerate() {
            standing.note(index.to_string(), attempt);
        }
        standing
    }

    fn refused() -> Attempt {
        Attempt::Refused("a: no".to_owned())
    }

    fn failed(after: Option<Duration>) -> Attempt {
        Attempt::Failed { reason: "b: not now".to_owned(), after, works: true }
    }

    fn postponed(after: Duration) -> Attempt {
        Attempt::Postponed { reason: "c is down".to_owned(), after }
    }

    #[test]
    fn an_entry_is_done_with_when_everybody_has_accepted_or_refused() {
        assert_eq!(standing([Attempt::Accepted, Attempt::Accepted]).outcome(), Outcome::Ack);
        assert_eq!(standing([]).outcome(), Outcome::Ack);
        let reason = "a: no".to_owned();
        assert_eq!(standing([refused(), Attempt::Accepted]).outcome(), Outcome::DeadLetter { reason });
    }

    #[test]
    fn a_refusal_does_not_end_what_the_others_wait_for() {
        let (reason, after) = ("b: not now".to_owned(), Some(SECOND));
        assert_eq!(standing([refused(), failed(after)]).outcome(), Outcome::Retry { reason, after });
        let (reason, after) = ("c is down".to_owned(), SECOND);
        assert_eq!(standing([refused(), postponed(after)]).outcome(), Outcome::Postpone { reason, after });
    }

    #[test]
    fn a_failure_counts_though_another_waits() {
        let outcome = standing([postponed(SECOND), failed(None)]).outcome();
        assert_eq!(outcome, Outcome::Retry { reason: "b: not now".to_owned(), after: None });
    }

    #[test]
    fn the_next_attempt_is_as_soon_as_the_first_wants_it() {
        let after = |attempts: Vec<Attempt>| match standing(attempts).outcome() {
            Outcome::Retry { after, .. } => after,
            Outcome::Postpone { after, .. } => Some(after),
            outcome => panic!("{outcome:?}"),
        };
        assert_eq!(after(vec![failed(Some(SECOND * 5)), failed(Some(SECOND))]), Some(SECOND));
        assert_eq!(after(vec![failed(Some(SECOND)), failed(None)]), None);
        assert_eq!(after(vec![postponed(SECOND * 9), postponed(SECOND)]), Some(SECOND));
    }

    #[test]
    fn the_last_attempt_is_not_given_up_for_what_may_be_the_channels_fault() {
        let doubtful = || Attempt::Failed { reason: "d: away".to_owned(), after: Some(SECOND), works: false };
        let last = |attempts: Vec<Attempt>| {
            let mut standing = standing(attempts);
            standing.last_attempt(5);
            (standing.outcome(), standing.known)
        };
        let waits = Outcome::Postpone { reason: "d: away".to_owned(), after: SECOND };
        assert_eq!(last(vec![doubtful()]).0, waits);
        let given_up = Settled::Refused("given up after 5 attempts: b: not now".to_owned());
        assert_eq!(last(vec![failed(None), doubtful()]), (waits, [("0".to_owned(), given_up)].into()));
        let fails = Outcome::Retry { reason: "b: not now".to_owned(), after: None };
        assert_eq!(last(vec![failed(None), Attempt::Accepted]).0, fails, "which is a dead letter then");
    }

    #[test]
    fn reasons_are_bounded() {
        let long = ["ü".repeat(600), "b".to_owned()];
        assert!(reasons(long.iter()).len() <= REASON_MAX);
    }
}
