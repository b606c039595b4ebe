//! Logs through tracing, panics included, and the metrics that every process exports.

mod format;
mod panics;
mod process;

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    EnvFilter,
    fmt::format::{Format, JsonFields},
    util::SubscriberInitExt,
};

pub use process::register_process_metrics;

use crate::config::{Log, LogFormat};
use format::Named;

/// The commit the binaries were built from, given to the build as `ORDERFLOW_REVISION`.
pub const REVISION: &str = match option_env!("ORDERFLOW_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The process already has a tracing subscriber.
    #[error("logging is already set up in this process")]
    AlreadyInitialised(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends this process's logs to stderr, the service name as a field of every line, and logs panics.
///
/// `rust_log` (the value of `RUST_LOG`) overrides `log.filter`; an unusable one is reported in
/// the log and ignored.
///
/// # Errors
/// If the process already has a tracing subscriber.
pub fn init(service: &'static str, log: &Log, rust_log: Option<&str>) -> Result<(), TelemetryError> {
    let from_env = rust_log.filter(|text| !text.is_empty()).map(EnvFilter::try_new);
    let (filter, ignored) = match from_env {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(&log.filter), Some(error)),
        None => (EnvFilter::new(&log.filter), None),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match log.format {
        LogFormat::Human => {
            let ansi = io::stderr().is_terminal();
            let format = Format::default().with_ansi(ansi);
            builder.with_ansi(ansi).event_format(Named { service, format }).finish().try_init()?;
        }
        LogFormat::Json => {
            let format = Format::default().json().flatten_event(true);
            let builder = builder.fmt_fields(JsonFields::new());
            builder.event_format(Named { service, format }).finish().try_init()?;
        }
    }
    panics::log();
    if let Some(error) = ignored {
        tracing::warn!(%error, "RUST_LOG is not a filter and is ignored");
    }
    Ok(())
}
