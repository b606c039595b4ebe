//! [`Isolation`]: a suspect, an entry that may be what kills processes, runs alone in its worker.

use tokio::sync::watch;

/// Shared by the consumers of one worker, which has one suspect at a time: a second one that waited would have
/// its delivery counted each time the first kills the process. It is asked when a consumer begins and ends to be
/// busy, not for each entry.
#[derive(Debug, Clone)]
pub(super) struct Isolation(watch::Sender<State>);

#[derive(Debug, Default)]
pub(super) struct State {
    /// A consumer has a suspect, or a claim under way that may bring one.
    taken: bool,
    /// The suspect is next, or runs: nobody starts anything else.
    announced: bool,
    /// Consumers that run ordinary deliveries.
    busy: usize,
}

impl Isolation {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(State::default()))
    }

    /// Tells when a suspect was announced, may run, or is done.
    pub(super) fn subscribe(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }

    /// Whether a suspect waits for the others to finish, or runs.
    pub(super) fn is_announced(&self) -> bool {
        self.0.borrow().announced
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

    /// The right to have a suspect; `None` while another consumer has it.
    pub(super) fn try_suspect(&self) -> Option<Suspect> {
        let mut free = false;
        self.0.send_if_modified(|state| {
            free = !std::mem::replace(&mut state.taken, true);
            false
        });
        free.then(|| Suspect(self.clone()))
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

/// A consumer has a suspect, or asks for one.
#[derive(Debug)]
pub(super) struct Suspect(Isolation);

impl Suspect {
    /// The suspect is next: from now on nobody starts anything else.
    pub(super) fn announce(&self) {
        self.0.0.send_if_modified(|state| !std::mem::replace(&mut state.announced, true));
    }

    /// Whether everybody has finished what was running when it was announced.
    pub(super) fn may_run(&self) -> bool {
        let state = self.0.0.borrow();
        state.announced && state.busy == 0
    }
}

impl Drop for Suspect {
    fn drop(&mut self) {
        self.0.0.send_if_modified(|state| {
            state.taken = false;
            std::mem::replace(&mut state.announced, false)
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
        let suspect = isolation.try_suspect().expect("the first");
        assert!(isolation.try_suspect().is_none(), "one at a time");
        drop(isolation.enter().expect("a claim alone keeps nobody out"));
        let mut changes = isolation.subscribe();
        suspect.announce();
        assert!(changes.has_changed().expect("open"));
        changes.mark_unchanged();
        assert!(isolation.enter().is_none() && !suspect.may_run());
        drop(busy);
        assert!(changes.has_changed().expect("open") && suspect.may_run());
        changes.mark_unchanged();
        drop(suspect);
        assert!(changes.has_changed().expect("open") && isolation.enter().is_some());
        assert!(isolation.try_suspect().is_some());
    }
}
