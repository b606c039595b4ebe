//! [`Throttle`]: lets one log line through in a while, and says how many it held back.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What happens often is told so often.
const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<(Option<Instant>, u64)>);

impl Throttle {
    /// How many were held back since the last line that was let through; `None` if this one is to be held back.
    pub(super) fn due(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.is_some_and(|last| last.elapsed() < INTERVAL) {
            state.1 += 1;
            return None;
        }
        let held_back = state.1;
        *state = (Some(Instant::now()), 0);
        Some(held_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_held_back_is_counted() {
        let throttle = Throttle::default();
        assert_eq!(throttle.due(), Some(0));
        assert_eq!((throttle.due(), throttle.due()), (None, None));
        throttle.0.lock().unwrap().0 = Instant::now().checked_sub(INTERVAL);
        assert_eq!(throttle.due(), Some(2));
    }
}
