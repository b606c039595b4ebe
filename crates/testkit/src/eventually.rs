//! Waiting for something to become true, instead of sleeping.

use std::{
    fmt::Display,
    panic::Location,
    time::{Duration, Instant},
};

/// How often [`eventually`] looks.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// One look at something that may not be there yet.
pub trait Observation {
    /// What is waited for.
    type Value;

    /// The value, or what was seen in its place.
    fn settle(self) -> Result<Self::Value, String>;
}

/// `None` is "not yet".
impl<T> Observation for Option<T> {
    type Value = T;

    fn settle(self) -> Result<T, String> {
        self.ok_or_else(|| "None".to_owned())
    }
}

/// An error is "not yet", and says what was seen.
impl<T, E: Display> Observation for Result<T, E> {
    type Value = T;

    fn settle(self) -> Result<T, String> {
        self.map_err(|error| error.to_string())
    }
}

/// Calls `probe` every 20 ms until it gives a value, for at most `deadline`.
///
/// It looks at least once. A look that takes longer than what is left of the deadline is dropped. Await it in the
/// test itself: with an async closure that borrows, the compiler may not see that the future is `Send`.
///
/// # Panics
///
/// After `deadline`, with `what` (a clause such as `"the group has no pending entries"`), the caller's line and
/// the last observation.
#[track_caller]
pub fn eventually<O: Observation>(
    deadline: Duration,
    what: &str,
    probe: impl AsyncFnMut() -> O,
) -> impl Future<Output = O::Value> {
    poll(deadline, what, probe, Location::caller())
}

async fn poll<O: Observation>(
    deadline: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> O,
    caller: &'static Location<'static>,
) -> O::Value {
    let end = Instant::now() + deadline;
    let mut last_seen = None;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, probe()).await.map(O::settle) {
            Ok(Ok(value)) => return value,
            Ok(Err(seen)) => last_seen = Some(seen),
            Err(_) => {
                last_seen.get_or_insert_with(|| "nothing: the first look did not finish".to_owned());
            }
        }
        assert!(
            Instant::now() < end,
            "{caller}: waited {deadline:?} in vain until {what}; last seen: {}",
            last_seen.as_deref().unwrap_or_default(),
        );
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
