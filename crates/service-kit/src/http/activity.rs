//! [`Activity`]: what a connection is doing and since when, by which its watchdog tells a slow client from a busy one.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::http::Version;

/// How long each kind of silence may last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For a request's head, once its first byte is there; for the first one, from the connection's begin.
    pub(super) head: Duration,
    /// Between requests.
    pub(super) idle: Duration,
    /// For a client to take anything of what is sent to it.
    pub(super) write: Duration,
}

/// What is to become of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on.
    Fine,
    /// Nobody has asked for anything in a long time: it may end in order.
    Idle,
    /// It is cut.
    Cut(Cut),
}

/// Why a connection, or a request, is cut off. A closed set: the labels of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The head of a request did not arrive in time.
    SlowHead,
    /// A body made no progress.
    SlowBody,
    /// The client takes nothing of what is sent to it.
    SlowReader,
    /// The TLS handshake failed, or did not end in time.
    TlsHandshake,
}

impl Cut {
    pub(super) const ALL: [Self; 4] = [Self::SlowHead, Self::SlowBody, Self::SlowReader, Self::TlsHandshake];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::SlowHead => "slow_head",
            Self::SlowBody => "slow_body",
            Self::SlowReader => "slow_reader",
            Self::TlsHandshake => "tls_handshake",
        }
    }
}

/// What one connection is doing. Shared by its socket, its requests and its watchdog.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Requests whose answers are not finished.
    open: usize,
    http2: bool,
    /// When the last answer ended.
    quiet_since: Instant,
    /// When the first byte of a head that is not complete came in.
    head_since: Option<Instant>,
    /// Since when the socket takes nothing.
    blocked_since: Option<Instant>,
    /// HTTP/2 answers of which a part was handed over and the next is not asked for: the stream's window is shut.
    untaken: Vec<(u64, Instant)>,
    next_answer: u64,
}

impl Activity {
    /// Of a connection that begins now.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(State {
            open: 0,
            http2: false,
            quiet_since: now,
            head_since: Some(now),
            blocked_since: None,
            untaken: Vec::new(),
            next_answer: 0,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came in.
    pub(super) fn read(&self) {
        let mut state = self.state();
        // Frames of HTTP/2 that belong to no request look the same here; its heads are bounded by `idle`.
        if state.open == 0 && !state.http2 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }

    /// The socket has taken something, or all.
    pub(super) fn wrote(&self) {
        self.state().blocked_since = None;
    }

    /// The socket takes nothing now.
    pub(super) fn blocked(&self) {
        self.state().blocked_since.get_or_insert_with(Instant::now);
    }

    /// A request's head is complete; it is open until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> OpenRequest {
        let mut state = self.state();
        state.open += 1;
        state.head_since = None;
        state.http2 = version == Version::HTTP_2;
        state.next_answer += 1;
        OpenRequest { number: state.next_answer, http2: state.http2, activity: Arc::clone(self) }
    }

    /// What is to become of the connection.
    pub(super) fn verdict(&self, patience: &Patience) -> Verdict {
        let state = self.state();
        let over = |since: &Instant, bound: Duration| since.elapsed() > bound;
        let stalled = state.blocked_since.iter().chain(state.untaken.iter().map(|(_, since)| since));
        if stalled.into_iter().any(|since| over(since, patience.write)) {
            return Verdict::Cut(Cut::SlowReader);
        }
        if state.open > 0 {
            return Verdict::Fine;
        }
        if state.head_since.is_some_and(|since| over(&since, patience.head)) {
            return Verdict::Cut(Cut::SlowHead);
        }
        if over(&state.quiet_since, patience.idle) { Verdict::Idle } else { Verdict::Fine }
    }

    /// Whether no request is open.
    pub(super) fn is_quiet(&self) -> bool {
        self.state().open == 0
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct OpenRequest {
    number: u64,
    http2: bool,
    activity: Arc<Activity>,
}

impl OpenRequest {
    /// A part of the answer was handed to the connection.
    pub(super) fn given(&self) {
        // Over HTTP/1 a client that does not read blocks the socket, which is noticed there.
        if self.http2 {
            self.activity.state().untaken.push((self.number, Instant::now()));
        }
    }

    /// The connection has room for another part.
    pub(super) fn wanted(&self) {
        if self.http2 {
            self.activity.state().untaken.retain(|(number, _)| *number != self.number);
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.wanted();
        let mut state = self.activity.state();
        state.open -= 1;
        if state.open == 0 {
            state.quiet_since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(10),
        idle: Duration::from_mins(1),
        write: Duration::from_secs(30),
    };

    /// The verdict when so much time has passed.
    fn after(activity: &Activity, time: Duration) -> Verdict {
        let mut state = activity.state();
        let State { quiet_since, head_since, blocked_since, untaken, .. } = &mut *state;
        let since =
            head_since.iter_mut().chain(blocked_since).chain(untaken.iter_mut().map(|(_, since)| since));
        for since in since.chain([quiet_since]) {
            *since -= time;
        }
        drop(state);
        activity.verdict(&PATIENCE)
    }

    #[test]
    fn the_first_head_is_due_from_the_begin_and_later_ones_from_their_first_byte() {
        let activity = Arc::new(Activity::new());
        assert_eq!(after(&activity, Duration::from_secs(9)), Verdict::Fine);
        activity.read();
        assert_eq!(after(&activity, Duration::from_secs(2)), Verdict::Cut(Cut::SlowHead));
        drop(activity.begin(Version::HTTP_11));
        assert_eq!(after(&activity, Duration::from_secs(59)), Verdict::Fine);
        activity.read();
        assert_eq!(after(&activity, Duration::from_secs(11)), Verdict::Cut(Cut::SlowHead));
    }

    #[test]
    fn a_connection_is_idle_only_between_requests() {
        let activity = Arc::new(Activity::new());
        let request = activity.begin(Version::HTTP_11);
        assert_eq!(after(&activity, Duration::from_hours(1)), Verdict::Fine);
        drop(request);
        assert_eq!(after(&activity, Duration::from_secs(59)), Verdict::Fine);
        assert_eq!(after(&activity, Duration::from_secs(2)), Verdict::Idle);
    }

    #[test]
    fn signs_of_life_of_http2_are_no_head() {
        let activity = Arc::new(Activity::new());
        drop(activity.begin(Version::HTTP_2));
        activity.read();
        assert_eq!(after(&activity, Duration::from_secs(59)), Verdict::Fine);
    }

    #[test]
    fn a_client_that_takes_nothing_is_cut_and_one_that_takes_something_is_not() {
        let activity = Arc::new(Activity::new());
        let request = activity.begin(Version::HTTP_11);
        activity.blocked();
        assert_eq!(after(&activity, Duration::from_secs(29)), Verdict::Fine);
        activity.wrote();
        activity.blocked();
        assert_eq!(after(&activity, Duration::from_secs(29)), Verdict::Fine);
        activity.blocked();
        assert_eq!(after(&activity, Duration::from_secs(2)), Verdict::Cut(Cut::SlowReader));
        drop(request);
    }

    #[test]
    fn one_stream_of_many_that_is_not_taken_is_enough() {
        let activity = Arc::new(Activity::new());
        let (stuck, busy) = (activity.begin(Version::HTTP_2), activity.begin(Version::HTTP_2));
        stuck.given();
        for _ in 0..3 {
            busy.given();
            assert_eq!(after(&activity, Duration::from_secs(9)), Verdict::Fine);
            busy.wanted();
        }
        assert_eq!(after(&activity, Duration::from_secs(4)), Verdict::Cut(Cut::SlowReader));
        drop(stuck);
        assert_eq!(activity.verdict(&PATIENCE), Verdict::Fine);
    }
}
