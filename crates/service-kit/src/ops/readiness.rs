//! Whether the process should get traffic, and if not, why.

use std::collections::BTreeMap;
use std::fmt;

use tokio::sync::watch;

/// Something that must hold for the process to be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Condition {
    /// Redis answers.
    Redis,
    /// The service has built everything that it serves with.
    Startup,
    /// The consumers hold their names and read.
    Consumers,
    /// Any other, by its name.
    Other(&'static str),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "redis",
            Self::Startup => "startup",
            Self::Consumers => "consumers",
            Self::Other(name) => name,
        })
    }
}

#[derive(Debug, Default)]
struct State {
    conditions: BTreeMap<Condition, Result<(), String>>,
    draining: bool,
}

impl State {
    fn is_ready(&self) -> bool {
        !self.draining && self.conditions.values().all(Result::is_ok)
    }

    fn reasons(&self) -> Vec<String> {
        let draining = self.draining.then(|| "draining".to_owned());
        let failing = self.conditions.iter().filter_map(|(condition, result)| {
            result.as_ref().err().map(|reason| format!("{condition}: {reason}"))
        });
        draining.into_iter().chain(failing).collect()
    }
}

/// A handle to the process's readiness; clones share it.
///
/// Ready means that every registered condition holds and draining has not begun. Draining is
/// final: a process that stops must not get traffic again.
#[derive(Debug, Clone)]
pub struct Readiness(watch::Sender<State>);

impl Readiness {
    /// Not ready until each of these conditions has been [set](Self::set) to `Ok`.
    pub fn new(conditions: impl IntoIterator<Item = Condition>) -> Self {
        let waiting = |condition| (condition, Err("not checked yet".to_owned()));
        let conditions = conditions.into_iter().map(waiting).collect();
        Self(watch::Sender::new(State { conditions, draining: false }))
    }

    /// Records a condition, registering it if it is new; `Err` holds the reason shown to operators.
    /// The log tells when the process becomes ready or ceases to be.
    pub fn set(&self, condition: Condition, result: Result<(), impl Into<String>>) {
        let result = result.map_err(Into::into);
        self.0.send_if_modified(|state| {
            let was_ready = state.is_ready();
            let changed = state.conditions.insert(condition, result.clone()).as_ref() != Some(&result);
            match (was_ready, state.is_ready()) {
                (false, true) => tracing::info!("ready"),
                (true, false) => tracing::warn!(reasons = ?state.reasons(), "not ready"),
                _ => {}
            }
            changed
        });
    }

    /// Makes the process not ready, for ever.
    pub fn draining(&self) {
        self.0.send_if_modified(|state| {
            let began = !std::mem::replace(&mut state.draining, true);
            if began {
                tracing::info!("draining");
            }
            began
        });
    }

    /// Whether the process is ready now.
    pub fn is_ready(&self) -> bool {
        self.0.borrow().is_ready()
    }

    /// Why it is not ready, e.g. `redis: not connected yet`; empty when it is.
    pub fn reasons(&self) -> Vec<String> {
        self.0.borrow().reasons()
    }

    /// Waits until the process is ready; `false` if draining began first.
    pub async fn wait_ready(&self) -> bool {
        let mut receiver = self.0.subscribe();
        let settled = receiver.wait_for(|state| state.draining || state.is_ready()).await;
        settled.is_ok_and(|state| state.is_ready())
    }
}
