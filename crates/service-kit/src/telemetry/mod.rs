//! Logs through tracing, panics included, and the metrics that every process exports.

mod filter;
mod format;
mod panics;
mod process;

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::format::JsonFields,
    fmt::{self, format::Format},
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

pub use filter::{FILTER_FOR_MAX, FilterError, FilterStatus, LogFilter};
pub use process::register_process_metrics;

use crate::{
    config::{Log, LogFormat},
    trace::{self, SpanEvents},
};
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

/// Sends this process's logs to stderr, the service name as a field of every line, and logs panics. The filter can be
/// changed while it runs.
///
/// `rust_log` (the value of `RUST_LOG`) overrides `log.filter`; an unusable one is reported in
/// the log and ignored.
///
/// # Errors
/// If the process already has a tracing subscriber.
pub fn init(service: &'static str, log: &Log, rust_log: Option<&str>) -> Result<LogFilter, TelemetryError> {
    let from_env =
        rust_log.filter(|text| !text.is_empty()).map(|text| EnvFilter::try_new(text).map(|it| (it, text)));
    let (filter, text, ignored) = match from_env {
        Some(Ok((filter, text))) => (filter, text, None),
        Some(Err(error)) => (EnvFilter::new(&log.filter), &*log.filter, Some(error)),
        None => (EnvFilter::new(&log.filter), &*log.filter, None),
    };
    // Below the filter, spans get what the log does.
    let (filter, handle) = reload::Layer::<EnvFilter, Registry>::new(filter);
    let events = trace::are_on().then_some(SpanEvents);
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match log.format {
        LogFormat::Human => {
            let ansi = io::stderr().is_terminal();
            let format = Format::default().with_ansi(ansi);
            lines.with_ansi(ansi).event_format(Named { service, format }).boxed()
        }
        LogFormat::Json => {
            let format = Format::default().json().flatten_event(true);
            lines.fmt_fields(JsonFields::new()).event_format(Named { service, format }).boxed()
        }
    };
    tracing_subscriber::registry().with(filter).with(events).with(lines).try_init()?;
    panics::log();
    if let Some(error) = ignored {
        tracing::warn!(%error, "RUST_LOG is not a filter and is ignored");
    }
    Ok(LogFilter::new(handle, text))
}
