//! [`ChaosSettings`]: a run's parameters, from the environment.

use std::{env, str::FromStr, time::Duration};

/// A chaos run's parameters. The same seed and durations give the same schedule of faults; what they hit depends
/// on the machine.
#[derive(Debug, Clone)]
pub struct ChaosSettings {
    /// Decides every fault, its target, its time and how long it lasts (`CHAOS_SEED`; random by default).
    pub seed: u64,
    /// For how long new faults are injected (`CHAOS_SECONDS`).
    pub duration: Duration,
    /// Time between the beginnings of two faults, on average (`CHAOS_FAULT_INTERVAL_MS`).
    pub fault_interval: Duration,
    /// Requests a second, of all clients together (`CHAOS_RATE`).
    pub requests_per_second: u32,
    /// The Redis server's program (`CHAOS_SERVER`).
    pub server: Option<String>,
}

impl ChaosSettings {
    /// The settings in the environment; without any, a run of 25 s with a fault of every kind.
    ///
    /// # Panics
    ///
    /// If a variable is set to something else than a number.
    pub fn from_env() -> Self {
        Self {
            seed: number("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..)),
            duration: Duration::from_secs(number("CHAOS_SECONDS").unwrap_or(25)),
            fault_interval: Duration::from_millis(number("CHAOS_FAULT_INTERVAL_MS").unwrap_or(1_100)),
            requests_per_second: number("CHAOS_RATE").unwrap_or(100),
            server: text("CHAOS_SERVER"),
        }
    }
}

fn text(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

fn number<T: FromStr>(variable: &str) -> Option<T> {
    let value = text(variable)?;
    let number = value.parse();
    assert!(number.is_ok(), "{variable}={value} is not a number");
    number.ok()
}
