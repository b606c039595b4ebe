//! [`Named`]: lines that say which service they are of, and for which request and in which trace they were written.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Full, Json, Writer},
    },
    registry::LookupSpan,
};

use crate::{log_line::one_line, request, trace};

/// Adds to every line of a format the service, and the request and the trace that it was logged for. Only lines cost
/// anything: a span for each request would be paid for by all of them.
pub(super) struct Named<F> {
    pub(super) service: &'static str,
    pub(super) format: F,
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
        write!(writer, "{} service={}", one_line(line.trim_end_matches('\n'), is_coloured), self.service)?;
        with_context(|name, value| write!(writer, " {name}={value}"))?;
        writeln!(writer)
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
        write!(writer, "{{\"service\":\"{}\",", self.service)?;
        // None of these values holds anything that JSON would have to escape.
        with_context(|name, value| write!(writer, "\"{name}\":\"{value}\","))?;
        writer.write_str(fields)
    }
}

/// What is known of what this line was logged for.
fn with_context(mut add: impl FnMut(&str, &dyn fmt::Display) -> fmt::Result) -> fmt::Result {
    let mut trace = trace::current_ids();
    request::with_current(|request| {
        add("request_id", &request.id.as_str())?;
        match (trace.take(), request.trace_id()) {
            (Some((trace, span)), _) => {
                add("trace_id", &trace)?;
                add("span_id", &span)
            }
            // A client's trace that is not recorded here is found by its ID all the same.
            (None, Some(trace)) => add("trace_id", &trace),
            (None, None) => Ok(()),
        }
    })
    .unwrap_or(Ok(()))?;
    if let Some((trace, span)) = trace {
        add("trace_id", &trace)?;
        add("span_id", &span)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::fmt::format::JsonFields;

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
}
