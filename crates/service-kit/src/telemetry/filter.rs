//! [`LogFilter`]: what is logged, changed while the process runs, for good or for a while.

use std::{
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use tracing_subscriber::{EnvFilter, Registry, filter::LevelFilter, reload};

/// The longest time for which a filter can be set, after which the configured one is back.
pub const FILTER_FOR_MAX: Duration = Duration::from_hours(24);
/// The longest filter, in bytes.
const FILTER_MAX: usize = 1_024;

/// A filter that cannot be used, or not for so long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// It is not a filter.
    #[error(
        "{0}; expected a level (off, error, warn, info, debug, trace) and directives such as stream_core=debug, separated by commas"
    )]
    NotAFilter(String),
    /// The time is out of bounds.
    #[error("for: allowed are 1s to 24h")]
    Time,
    /// The subscriber is not there any more.
    #[error("the log cannot be changed any more")]
    Gone,
}

/// The filter of this process's log. Clones share it.
#[derive(Debug, Clone)]
pub struct LogFilter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    handle: reload::Handle<EnvFilter, Registry>,
    configured: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    filter: String,
    until: Option<Instant>,
    /// Goes up with each change, so that one that has been overtaken does not end a later one.
    change: u64,
}

/// What is logged now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterStatus {
    /// The filter in force.
    pub filter: String,
    /// That of the configuration, which a restart brings back.
    pub configured: String,
    /// When the configured one is back by itself.
    pub reverts_in: Option<Duration>,
}

impl LogFilter {
    pub(super) fn new(handle: reload::Handle<EnvFilter, Registry>, configured: &str) -> Self {
        let state = State { filter: configured.to_owned(), until: None, change: 0 };
        Self(Arc::new(Shared { handle, configured: configured.to_owned(), state: Mutex::new(state) }))
    }

    /// What is logged now.
    pub fn status(&self) -> FilterStatus {
        let state = self.state();
        FilterStatus {
            filter: state.filter.clone(),
            configured: self.0.configured.clone(),
            reverts_in: state.until.map(|until| until.saturating_duration_since(Instant::now())),
        }
    }

    /// Logs what `filter` says from now on; for as long as is said, then as configured. In an async runtime.
    pub fn set(&self, filter: &str, lasting: Option<Duration>) -> Result<(), FilterError> {
        if lasting.is_some_and(|lasting| !(Duration::from_secs(1)..=FILTER_FOR_MAX).contains(&lasting)) {
            return Err(FilterError::Time);
        }
        let filter = filter.trim();
        let until = lasting.map(|lasting| Instant::now() + lasting);
        let change = self.apply(read(filter)?, filter, until)?;
        let for_seconds = lasting.map(|lasting| lasting.as_secs());
        tracing::warn!(filter, for_seconds, "the filter of the log was changed");
        if let Some(until) = until {
            let this = self.clone();
            tokio::spawn(async move {
                sleep_until(until).await;
                if this.state().change == change {
                    this.reset()
                        .unwrap_or_else(|error| tracing::warn!(%error, "the filter of the log stays"));
                }
            });
        }
        Ok(())
    }

    /// Logs what the configuration says.
    pub fn reset(&self) -> Result<(), FilterError> {
        let configured = &self.0.configured;
        // Taken as it was at the start, when it was more leniently read.
        self.apply(EnvFilter::new(configured), configured, None)?;
        tracing::warn!(filter = configured, "the filter of the log is the configured one again");
        Ok(())
    }

    fn apply(&self, filter: EnvFilter, text: &str, until: Option<Instant>) -> Result<u64, FilterError> {
        let mut state = self.state();
        self.0.handle.reload(filter).map_err(|_| FilterError::Gone)?;
        state.change += 1;
        text.clone_into(&mut state.filter);
        state.until = until;
        Ok(state.change)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A filter that says what it seems to: a misspelt level would be the name of a target, and everything else be off.
fn read(filter: &str) -> Result<EnvFilter, FilterError> {
    let no = |why: String| Err(FilterError::NotAFilter(why));
    if filter.is_empty() || filter.len() > FILTER_MAX {
        return no(format!("a filter has 1 to {FILTER_MAX} characters"));
    }
    for directive in filter.split(',').map(str::trim) {
        if directive.contains(['[', '{']) {
            return no(format!("{directive:?} asks for spans, of which there are none"));
        }
        let level = directive.split_once('=').map_or(directive, |(_, level)| level);
        if LevelFilter::from_str(level).is_err() || level.is_empty() || directive.starts_with('=') {
            return no(format!("{directive:?} is neither a level nor target=level"));
        }
    }
    let directives: Vec<_> = filter.split(',').map(str::trim).collect();
    EnvFilter::try_new(directives.join(",")).or_else(|error| no(error.to_string()))
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn log() -> (LogFilter, impl tracing::Subscriber) {
        let (layer, handle) = reload::Layer::<EnvFilter, Registry>::new(EnvFilter::new("info"));
        (LogFilter::new(handle, "info"), tracing_subscriber::registry().with(layer))
    }

    #[test]
    fn a_filter_that_would_not_do_what_it_seems_to_is_refused() {
        for filter in ["info", "debug,redis=off", "warn, stream_core::worker=trace", "OFF"] {
            read(filter).unwrap();
        }
        for filter in
            ["", "inof", "info,", "stream_core", "stream_core=loud", "=debug", "[span]=debug", "info;debug"]
        {
            let error = read(filter).unwrap_err().to_string();
            assert!(error.contains("expected a level"), "{filter}: {error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_filter_set_for_a_while_goes_back_by_itself() {
        let (filter, subscriber) = log();
        let _logging = tracing::subscriber::set_default(subscriber);
        filter.set("debug", Some(Duration::from_mins(5))).unwrap();
        assert!(tracing::enabled!(tracing::Level::DEBUG));
        assert!(filter.status().reverts_in.is_some());
        tokio::time::sleep(Duration::from_secs(301)).await;
        assert_eq!((filter.status().filter.as_str(), filter.status().reverts_in), ("info", None));
        assert!(!tracing::enabled!(tracing::Level::DEBUG));
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_change_is_not_ended_by_an_earlier_one() {
        let (filter, _subscriber) = log();
        filter.set("debug", Some(Duration::from_secs(10))).unwrap();
        filter.set("trace", None).unwrap();
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(filter.status().filter, "trace");
        filter.reset().unwrap();
        assert_eq!(filter.status().filter, "info");
        for lasting in [Duration::ZERO, Duration::from_hours(25)] {
            assert_eq!(filter.set("debug", Some(lasting)), Err(FilterError::Time));
        }
    }
}
