//! [`Named`]: lines that say which service they are of.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Full, Json, Writer},
    },
    registry::LookupSpan,
};

/// Adds the service name to every line of a format. A span could not: spawned tasks leave it.
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
        writeln!(writer, "{} service={}", line.trim_end_matches('\n'), self.service)
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
}
