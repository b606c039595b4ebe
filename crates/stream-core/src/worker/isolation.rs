//! [`Isolation`]: a suspect, an entry that may be what kills processes, runs alone in its worker.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

/// Others have at least as much time between two suspects as the last one took, up to this.
const REST_MAX: Duration = Duration::from_secs(1);

/// Shared by the consumers of one worker, which has one suspect at a time. It is asked when a consumer begins and ends
/// to be busy, not for each entry.
#[derive(Debug, Clone)]
pub(super) struct Isolation(watch::Sender<State>);

#[derive(Debug)]
pub(super) struct State {
    /// A suspect is next, or runs: nobody starts anything else.
    announced: bool,
    /// Consumers that run ordinary deliveries.
    busy: usize,
    /// How often it was a suspect's turn.
    turns: u64,
    /// Until when it is everybody else's.
    rest_until: Instant,
}

impl Isolation {
    pub(super) fn new() -> Self {
        let state = State { announced: false, busy: 0, turns: 0, rest_until: Instant::now() };
        Self(watch::Sender::new(state))
    }

    /// Tells when a suspect was announced, may run, or is done.
    pub(super) fn subscribe(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }

    /// Whether a suspect waits for the others to finish, or runs.
    pub(super) fn is_announced(&self) -> bool {
        self.0.borrow().announced
    }

    /// How often it was a suspect's turn: what was known about suspects before is old then.
    pub(super) fn turns(&self) -> u64 {
        self.0.borrow().turns
    }

    /// Until when no suspect is announced, so that it is not the turn of nothing else.
    pub(super) fn rest_until(&self) -> Instant {
        self.0.borrow().rest_until
    }

    /// Lets a consumer run ordinary deliveries until it drops the guard; `None` while a suspect is announced.
    pub(super) fn enter(&self) -> Option<Busy> {
        let mut entered = false;
        self.0.send_if_modified(|state| {
            entered = !state.announced;
            state.busy += usize::from(entered);
            false
        });
        entered.then(|| Busy(self.clone()))
    }

    /// Announces a suspect: from now on nobody starts anything else. `None` while another is announced, or
    /// everybody else's time lasts.
    pub(super) fn announce(&self) -> Option<Suspect> {
        let since = Instant::now();
        let announced = self.0.send_if_modified(|state| {
            let free = !state.announced && since >= state.rest_until;
            state.announced |= free;
            free
        });
        announced.then(|| Suspect { isolation: self.clone(), since })
    }
}

/// A consumer runs ordinary deliveries.
#[derive(Debug)]
pub(super) struct Busy(Isolation);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.send_if_modified(|state| {
            state.busy -= 1;
            state.busy == 0 && state.announced
        });
    }
}

/// It is a suspect's turn.
#[derive(Debug)]
pub(super) struct Suspect {
    isolation: Isolation,
    since: Instant,
}

impl Suspect {
    /// Whether everybody has finished what was running when it was announced.
    pub(super) fn is_alone(&self) -> bool {
        self.isolation.0.borrow().busy == 0
    }
}

impl Drop for Suspect {
    fn drop(&mut self) {
        let now = Instant::now();
        self.isolation.0.send_modify(|state| {
            state.announced = false;
            state.turns += 1;
            state.rest_until = now + now.duration_since(self.since).min(REST_MAX);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspect_waits_for_who_is_busy_and_keeps_out_the_rest() {
        let isolation = Isolation::new();
        let busy = isolation.enter().expect("no suspect");
        let mut changes = isolation.subscribe();
        let suspect = isolation.announce().expect("the first");
        assert!(isolation.announce().is_none(), "one at a time");
        assert!(changes.has_changed().expect("open"));
        changes.mark_unchanged();
        assert!(isolation.enter().is_none() && !suspect.is_alone());
        drop(busy);
        assert!(changes.has_changed().expect("open") && suspect.is_alone());
        changes.mark_unchanged();
        drop(suspect);
        assert!(changes.has_changed().expect("open") && isolation.enter().is_some());
        assert_eq!(isolation.turns(), 1);
    }

    #[test]
    fn between_two_suspects_comes_the_time_of_the_others() {
        let isolation = Isolation::new();
        let mut suspect = isolation.announce().expect("the first");
        suspect.since = Instant::now().checked_sub(Duration::from_mins(5)).expect("a clock that runs");
        let before = Instant::now();
        drop(suspect);
        assert!(isolation.announce().is_none());
        assert!(isolation.rest_until() >= before + REST_MAX);
        assert!(isolation.rest_until() <= Instant::now() + REST_MAX);
        isolation.0.send_modify(|state| state.rest_until = before);
        assert!(isolation.announce().is_some());
    }
}
