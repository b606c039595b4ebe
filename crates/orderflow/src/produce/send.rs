//! Sends checked events one request at a time, in order, and counts what becomes of them.

use std::time::{Duration, Instant};

use super::{
    answer::{Answer, Outcome},
    check::{Event, Invalid},
    client::{Client, Reply},
    progress::Progress,
    source::Position,
    tally::Tally,
};

/// Pause before another attempt when the answer named none.
const RETRY_DEFAULT: Duration = Duration::from_secs(1);

/// Sends events and keeps the tally.
#[derive(Debug)]
pub(super) struct Sender {
    client: Client,
    progress: Progress,
    tally: Tally,
    keep_going: bool,
    retry_for: Duration,
    body_bytes_max: usize,
    /// Whether producer-api has answered before: only then is its absence taken for a passing one.
    reached: bool,
}

/// Whether to go on with the source.
type GoOn = bool;

/// What is left of a request after an attempt.
enum Attempt<'a> {
    Done,
    /// Events that may be sent again, after a pause unless there is no reason for one.
    Again(Vec<&'a Event>, Option<Duration>),
    Stop,
}

impl Sender {
    pub(super) fn new(
        client: Client,
        progress: Progress,
        keep_going: bool,
        retry_for: Duration,
        body_bytes_max: usize,
    ) -> Self {
        let tally = Tally::new();
        Self { client, progress, tally, keep_going, retry_for, body_bytes_max, reached: false }
    }

    pub(super) fn keeps_going(&self) -> bool {
        self.keep_going
    }

    /// Tells what is wrong with events that are not sent.
    pub(super) fn reject(&mut self, invalid: &[Invalid]) {
        for Invalid { position, problems } in invalid {
            self.reject_one(position, problems);
        }
    }

    fn reject_one(&mut self, position: &Position, problems: &[String]) {
        self.tally.rejected += 1;
        for problem in problems {
            self.progress.line(&format!("{position}: {problem}"));
        }
    }

    /// Sends a batch, in more than one request if it is too large for one; whether to go on with the next.
    pub(super) async fn send(&mut self, events: &[Event], done: u64) -> anyhow::Result<GoOn> {
        for request in requests(events, self.body_bytes_max) {
            if !self.send_request(request.iter().collect()).await? {
                return Ok(false);
            }
        }
        self.progress.advance(done, &self.tally);
        Ok(true)
    }

    pub(super) fn finish(mut self) -> Tally {
        self.progress.finish();
        self.tally.finish();
        self.tally
    }

    /// Sends events until each has a final outcome, within the bound on trying again.
    async fn send_request(&mut self, mut events: Vec<&Event>) -> anyhow::Result<GoOn> {
        let mut give_up: Option<Instant> = None;
        let mut told = false;
        loop {
            let reply = self.client.post(&events).await;
            let (left, pause, reason) = match reply {
                Reply::Unreachable(reason) if !self.reached => anyhow::bail!(
                    "cannot reach producer-api at {}: {reason}; start it (`orderflow up`), or say where it is with --url",
                    self.client.url()
                ),
                Reply::Unreachable(reason) => (events, RETRY_DEFAULT, reason),
                Reply::Answered(answer, retry_after) => {
                    self.reached = true;
                    let reason = not_stored(&answer);
                    match self.settle(&events, answer) {
                        Attempt::Done => return Ok(true),
                        Attempt::Stop => return Ok(false),
                        Attempt::Again(left, None) => {
                            events = left;
                            continue;
                        }
                        Attempt::Again(left, Some(pause)) => (left, retry_after.unwrap_or(pause), reason),
                    }
                }
            };
            let now = Instant::now();
            let give_up = *give_up.get_or_insert(now + self.retry_for);
            if now + pause > give_up {
                self.give_up(&left, &reason);
                return Ok(false);
            }
            if !told {
                let (count, position) = (left.len(), range(&left));
                self.progress.line(&format!("{position}: not stored ({reason}); trying {count} again"));
                told = true;
            }
            tokio::time::sleep(pause).await;
            events = left;
        }
    }

    fn give_up(&mut self, left: &[&Event], reason: &str) {
        self.tally.refused = true;
        let tried = self.retry_for;
        self.progress.line(&format!(
            "{}: not stored ({reason}), and still not after {tried:?} of trying; stopped before it",
            range(left)
        ));
    }

    /// Counts and tells the outcomes.
    fn settle<'a>(&mut self, events: &[&'a Event], answer: Answer) -> Attempt<'a> {
        let outcomes = match answer {
            Answer::Each(outcomes) => outcomes,
            Answer::Refused(reason) => {
                self.tally.refused = true;
                let url = self.client.url();
                self.progress.line(&format!("{}: refused by {url}: {reason}", range(events)));
                return Attempt::Stop;
            }
        };
        let (mut again, mut unknown, mut rejected) = (Vec::new(), Vec::new(), false);
        for (event, outcome) in events.iter().copied().zip(outcomes) {
            match outcome {
                Outcome::Stored(id) => {
                    self.tally.sent += 1;
                    self.tally.last_id = Some(id);
                }
                Outcome::Rejected(problems) => {
                    rejected = true;
                    self.reject_one(&event.position, &problems);
                }
                Outcome::NotStored(_) => again.push(event),
                Outcome::Unknown(reason) => unknown.push((event, reason)),
            }
        }
        if !unknown.is_empty() {
            self.tell_unknown(&unknown);
            return Attempt::Stop;
        }
        match (rejected, again.is_empty()) {
            (true, _) if !self.keep_going => Attempt::Stop,
            (_, true) => Attempt::Done,
            // The others were held back only by those that are out of the way now.
            (true, false) => Attempt::Again(again, None),
            (false, false) => Attempt::Again(again, Some(RETRY_DEFAULT)),
        }
    }

    fn tell_unknown(&mut self, unknown: &[(&Event, String)]) {
        self.tally.unknown += unknown.len() as u64;
        let events: Vec<_> = unknown.iter().map(|(event, _)| *event).collect();
        let reason = unknown.first().map(|(_, reason)| reason.as_str()).unwrap_or_default();
        self.progress.line(&format!(
            "{}: {} may or may not have been stored ({reason}); stopped, since sending again could store twice: \
             look with `orderflow tail --from start`",
            range(&events),
            if events.len() == 1 { "it".to_owned() } else { format!("these {} events", events.len()) },
        ));
    }
}

/// Why the first event that was not stored was not.
fn not_stored(answer: &Answer) -> String {
    let Answer::Each(outcomes) = answer else { return String::new() };
    let reason = outcomes.iter().find_map(|outcome| match outcome {
        Outcome::NotStored(reason) => Some(reason.clone()),
        _ => None,
    });
    reason.unwrap_or_default()
}

/// From the first to the last position.
fn range(events: &[&Event]) -> String {
    match events {
        [] => String::new(),
        [only] => only.position.to_string(),
        [first, .., last] => format!("{} to {}", first.position, last.position),
    }
}

/// Splits events, in order, so that each part fits into a body; an event too large for any goes alone.
fn requests(events: &[Event], bytes_max: usize) -> Vec<&[Event]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, event) in events.iter().enumerate() {
        let more = event.json.len() + 1;
        if at > start && bytes + more > bytes_max + 1 {
            parts.push(&events[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += more;
    }
    if start < events.len() {
        parts.push(&events[start..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_keep_the_order_and_the_limit() {
        let event = |size| Event { position: Position::Flags, json: "x".repeat(size) };
        let sizes = [4, 5, 20, 1, 1, 1, 1, 1, 1];
        let events = sizes.map(event);
        let parts = requests(&events, 10);
        let counts: Vec<_> = parts.iter().map(|part| part.len()).collect();
        // 4 + comma + 5 are exactly 10; 20 fits nowhere; five of 1 with commas are 9.
        assert_eq!(counts, [2, 1, 5, 1]);
        assert!(requests(&[], 10).is_empty());
    }
}
