//! [`Breaker`]: leaves a channel alone while it is down, and tries it with one message at a time.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus::IntGauge;
use tokio::time::Instant;

/// What somebody waits who comes while another message tries the channel.
const PROBE_WAIT: Duration = Duration::from_millis(500);
/// The longest time that a receiver may ask for (`Retry-After`).
const ASKED_MAX: Duration = Duration::from_hours(1);

/// A circuit breaker. Closed, everything passes; after some failures in a row it opens, and nothing passes; after a
/// while one message does (half-open), and its fate closes or opens it again, for twice as long.
#[derive(Debug)]
pub(crate) struct Breaker {
    failures_max: u64,
    open_for: Duration,
    open_for_max: Duration,
    state: Mutex<State>,
    /// 0 closed, 1 half-open, 2 open.
    gauge: IntGauge,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Counts openings, so that what was let through before one has no say after it.
    generation: u64,
    /// Whether the channel has worked at all since the process began.
    has_worked: bool,
}

/// Whose fault a failure is, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The channel counts as down now; so long the message should wait.
    Channel(Duration),
    /// The channel has just worked for another message.
    Message,
    /// It has not, and does not count as down yet.
    Unknown,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Closed { failures: u64 },
    Open { until: Instant, round: u32 },
    HalfOpen { round: u32 },
}

/// Leave to try. Dropped without a verdict, as when the attempt is given up half-way, it says nothing.
#[derive(Debug)]
#[must_use]
pub(crate) struct Pass<'a> {
    breaker: &'a Breaker,
    generation: u64,
    is_probe: bool,
}

impl Breaker {
    pub(crate) fn new(
        failures_max: u64,
        open_for: Duration,
        open_for_max: Duration,
        gauge: IntGauge,
    ) -> Self {
        let state = State { phase: Phase::Closed { failures: 0 }, generation: 0, has_worked: false };
        Self { failures_max: failures_max.max(1), open_for, open_for_max, state: Mutex::new(state), gauge }
    }

    /// Whether something may be tried now; otherwise for how long not.
    pub(crate) fn enter(&self) -> Result<Pass<'_>, Duration> {
        let mut state = self.lock();
        let is_probe = match state.phase {
            Phase::Closed { .. } => false,
            Phase::HalfOpen { .. } => return Err(spread(PROBE_WAIT)),
            Phase::Open { until, round } => {
                let left = until.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    return Err(spread(left));
                }
                self.set(&mut state, Phase::HalfOpen { round });
                true
            }
        };
        Ok(Pass { breaker: self, generation: state.generation, is_probe })
    }

    /// For how long nothing passes; `None` if something may.
    pub(crate) fn closed_for(&self) -> Option<Duration> {
        match self.lock().phase {
            Phase::Closed { .. } => None,
            Phase::HalfOpen { .. } => Some(spread(PROBE_WAIT)),
            Phase::Open { until, .. } => {
                let left = until.saturating_duration_since(Instant::now());
                (!left.is_zero()).then(|| spread(left))
            }
        }
    }

    fn open(&self, state: &mut State, round: u32, asked: Option<Duration>) -> Duration {
        let grown = self.open_for.saturating_mul(2_u32.saturating_pow(round.min(20))).min(self.open_for_max);
        let open_for = grown.max(asked.unwrap_or_default().min(ASKED_MAX));
        state.generation += 1;
        self.set(state, Phase::Open { until: Instant::now() + open_for, round });
        open_for
    }

    fn set(&self, state: &mut State, phase: Phase) {
        state.phase = phase;
        self.gauge.set(match phase {
            Phase::Closed { .. } => 0,
            Phase::HalfOpen { .. } => 1,
            Phase::Open { .. } => 2,
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The channel works: it has accepted, or refused this one message. `true` if that closes the breaker.
    pub(crate) fn works(mut self) -> bool {
        let mut state = self.breaker.lock();
        let is_current = state.generation == self.generation;
        let closes = is_current && self.is_probe;
        state.has_worked = true;
        if is_current {
            self.breaker.set(&mut state, Phase::Closed { failures: 0 });
        }
        self.is_probe = false;
        closes
    }

    /// The channel failed, and wants to be left alone for as long as it `asked`.
    pub(crate) fn failed(mut self, asked: Option<Duration>) -> Fault {
        let breaker = self.breaker;
        let mut state = breaker.lock();
        let was_probe = std::mem::take(&mut self.is_probe);
        if state.generation != self.generation {
            // It was let through before the breaker opened.
            return match state.phase {
                Phase::Closed { .. } => Fault::Unknown,
                Phase::HalfOpen { .. } => Fault::Channel(spread(PROBE_WAIT)),
                Phase::Open { until, .. } => {
                    Fault::Channel(spread(until.saturating_duration_since(Instant::now()).max(PROBE_WAIT)))
                }
            };
        }
        match state.phase {
            Phase::Closed { failures } if failures + 1 < breaker.failures_max => {
                breaker.set(&mut state, Phase::Closed { failures: failures + 1 });
                if failures == 0 && state.has_worked { Fault::Message } else { Fault::Unknown }
            }
            Phase::Closed { .. } => Fault::Channel(spread(breaker.open(&mut state, 0, asked))),
            // The others are tried first next time: this message may be what fails.
            Phase::HalfOpen { round } if was_probe => {
                let open_for = breaker.open(&mut state, round.saturating_add(1), asked);
                Fault::Channel(spread(open_for.mul_f64(1.25)))
            }
            Phase::HalfOpen { .. } => Fault::Channel(spread(PROBE_WAIT)),
            Phase::Open { until, .. } => {
                Fault::Channel(spread(until.saturating_duration_since(Instant::now())))
            }
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.is_probe {
            return;
        }
        // The probe was given up: the next one may try at once.
        let mut state = self.breaker.lock();
        if state.generation == self.generation
            && let Phase::HalfOpen { round } = state.phase
        {
            self.breaker.set(&mut state, Phase::Open { until: Instant::now(), round });
        }
    }
}

/// Up to an eighth longer, so that not all come at once.
fn spread(duration: Duration) -> Duration {
    duration.mul_f64(1.0 + fastrand::f64() / 8.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Duration = Duration::from_secs(10);

    fn breaker() -> Breaker {
        Breaker::new(3, OPEN, OPEN * 4, IntGauge::new("breaker", "state").unwrap())
    }

    fn enter(breaker: &Breaker) -> Pass<'_> {
        breaker.enter().expect("it lets through")
    }

    fn wait(fault: Fault) -> Duration {
        let Fault::Channel(wait) = fault else { panic!("{fault:?}") };
        wait
    }

    fn opened() -> Breaker {
        let breaker = breaker();
        for _ in 0..3 {
            enter(&breaker).failed(None);
        }
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row_and_only_then_they_are_the_channels() {
        let breaker = breaker();
        assert_eq!(enter(&breaker).failed(None), Fault::Unknown, "it has never worked");
        assert_eq!(enter(&breaker).failed(None), Fault::Unknown);
        enter(&breaker).works();
        assert_eq!(enter(&breaker).failed(None), Fault::Message, "the row begins anew");
        assert_eq!(enter(&breaker).failed(None), Fault::Unknown);
        assert!(wait(enter(&breaker).failed(None)) >= OPEN);
        assert!(breaker.enter().is_err_and(|wait| wait >= OPEN));
        assert_eq!(breaker.gauge.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_tries_it_and_closes_it() {
        let breaker = opened();
        tokio::time::advance(OPEN).await;
        assert_eq!(breaker.closed_for(), None);
        let probe = enter(&breaker);
        assert!(breaker.enter().is_err(), "one at a time");
        assert_eq!(breaker.gauge.get(), 1);
        assert!(probe.works());
        assert_eq!(breaker.gauge.get(), 0);
        assert!(!enter(&breaker).works());
    }

    #[tokio::test(start_paused = true)]
    async fn each_failed_try_doubles_the_wait_up_to_the_bound() {
        let breaker = opened();
        let mut waited = OPEN;
        for next in [OPEN * 2, OPEN * 4, OPEN * 4] {
            tokio::time::advance(waited).await;
            let own = wait(enter(&breaker).failed(None));
            assert!(own >= next.mul_f64(1.25), "whoever has tried comes after the others");
            let others = breaker.enter().expect_err("it is open");
            assert!(others >= next && others < next.mul_f64(1.25), "{others:?}");
            waited = next;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_may_ask_for_more_time() {
        let breaker = breaker();
        let asked = Some(Duration::from_mins(5));
        for _ in 0..3 {
            enter(&breaker).failed(asked);
        }
        assert!(breaker.enter().is_err_and(|wait| wait >= Duration::from_mins(5)));
        let greedy = self::breaker();
        for _ in 0..3 {
            enter(&greedy).failed(Some(Duration::MAX));
        }
        assert!(greedy.enter().is_err_and(|wait| wait < ASKED_MAX * 2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_began_before_it_opened_has_no_say_after() {
        let breaker = breaker();
        let (slow, slower) = (enter(&breaker), enter(&breaker));
        for _ in 0..3 {
            enter(&breaker).failed(None);
        }
        assert!(!slow.works());
        assert!(breaker.enter().is_err(), "still open");
        assert!(matches!(slower.failed(None), Fault::Channel(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_is_given_up_leaves_the_next_one_to_another() {
        let breaker = opened();
        tokio::time::advance(OPEN).await;
        drop(enter(&breaker));
        assert!(enter(&breaker).works());
    }
}
