//! Logs through tracing, panics included, and the metrics that every process exports.

use std::fmt;
use std::io::{self, IsTerminal};

use prometheus::{IntGaugeVec, Opts, Registry};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};
use crate::log_line::one_line;

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
    std::panic::set_hook(Box::new(log_panic));
    if let Some(error) = ignored {
        tracing::warn!(%error, "RUST_LOG is not a filter and is ignored");
    }
    Ok(())
}

fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        message = "panicked",
        panic = text.unwrap_or("not text"),
        location = panic.location().map(tracing::field::display),
        thread = std::thread::current().name(),
        backtrace = %std::backtrace::Backtrace::capture(),
    );
}

/// Registers `build_info` and the process collector.
///
/// # Errors
/// If the registry already has them.
pub fn register_process_metrics(
    registry: &Registry,
    service: &str,
    version: &str,
) -> Result<(), prometheus::Error> {
    let opts = Opts::new("build_info", "Always 1; the labels say what is running.");
    let build_info = IntGaugeVec::new(opts, &["service", "version", "revision"])?;
    build_info.with_label_values(&[service, version, REVISION]).set(1);
    registry.register(Box::new(build_info))?;
    #[cfg(target_os = "linux")]
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    Ok(())
}

/// Adds the service name to every line of a format. A span could not: spawned tasks leave it.
struct Named<F> {
    service: &'static str,
    format: F,
}

impl<S, N> FormatEvent<S, N> for Named<Format<Full>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        let is_coloured = writer.has_ansi_escapes();
        writeln!(writer, "{} service={}", one_line(line.trim_end_matches('\n'), is_coloured), self.service)
    }
}

impl<S, N> FormatEvent<S, N> for Named<Format<Json>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        let fields = line.strip_prefix('{').ok_or(fmt::Error)?;
        write!(writer, "{{\"service\":\"{}\",{fields}", self.service)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Captured {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn json_lines_are_objects_that_name_the_service() {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(JsonFields::new())
            .event_format(Named { service: "reaper", format: Format::default().json().flatten_event(true) })
            .finish();
        tracing::subscriber::with_default(subscriber, || tracing::info!(entry = "1-0", "claimed \"it\""));

        let line: serde_json::Value = serde_json::from_str(&captured.text()).unwrap();
        assert_eq!(line["service"], "reaper");
        assert_eq!(line["entry"], "1-0");
        assert_eq!(line["message"], "claimed \"it\"");
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn human_lines_end_with_the_service() {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .event_format(Named { service: "reaper", format: Format::default().with_ansi(false) })
            .finish();
        tracing::subscriber::with_default(subscriber, || tracing::info!(entry = "1-0", "claimed"));

        let text = captured.text();
        assert!(text.ends_with("claimed entry=\"1-0\" service=reaper\n"), "{text}");
    }

    /// What somebody sends who wants to be taken for the log.
    const EVIL: &str =
        "x\n2026-01-01 ERROR forged\r\n{\"message\":\"forged\"}\u{1b}[2J\u{85}\u{2028}\u{202e}";

    #[test]
    fn no_value_can_forge_a_line() {
        let human = Captured::default();
        let writer = human.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .event_format(Named { service: "reaper", format: Format::default().with_ansi(false) })
            .finish();
        let log = || {
            let span = tracing::info_span!("request", path = %EVIL);
            let _entered = span.enter();
            tracing::warn!(text = EVIL, shown = %EVIL, debug = ?EVIL, "{EVIL}");
        };
        tracing::subscriber::with_default(subscriber, log);
        let text = human.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}');
        assert!(!text.trim_end_matches('\n').contains(breaks), "{text:?}");

        let json = Captured::default();
        let writer = json.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(JsonFields::new())
            .event_format(Named { service: "reaper", format: Format::default().json().flatten_event(true) })
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        assert_eq!(json.text().lines().count(), 1, "{}", json.text());
        let line: serde_json::Value = serde_json::from_str(&json.text()).unwrap();
        assert_eq!(
            (&line["message"], &line["text"], &line["shown"]),
            (&EVIL.into(), &EVIL.into(), &EVIL.into())
        );
        assert_eq!((&line["service"], &line["level"]), (&"reaper".into(), &"WARN".into()));
    }

    #[test]
    fn build_info_and_process_metrics_are_exported() {
        let registry = Registry::new();
        register_process_metrics(&registry, "reaper", "1.2.3").unwrap();
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let line = format!("build_info{{revision=\"{REVISION}\",service=\"reaper\",version=\"1.2.3\"}} 1");
        assert!(text.contains(&line), "{text}");
        #[cfg(target_os = "linux")]
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
    }
}
