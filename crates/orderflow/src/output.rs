//! Everything the command writes: results to standard output, news to standard error.

use std::{
    fmt,
    io::{self, Write},
};

use crate::terminal::{stderr_width, wrap};

/// Nobody reads standard output any more (`orderflow tail | head`): a reason to stop, not a failure.
#[derive(Debug)]
pub(crate) struct StdoutClosed;

impl fmt::Display for StdoutClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output is closed")
    }
}

impl std::error::Error for StdoutClosed {}

/// Writes a result, with a line break, to standard output.
pub(crate) fn result(text: impl fmt::Display) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
        written => {
            written.map_err(|error| anyhow::Error::new(error).context("cannot write to standard output"))
        }
    }
}

/// Writes a line of news to standard error. Where nobody can read it, there is no remedy.
pub(crate) fn news(text: impl fmt::Display) {
    // One write, so that lines of several threads do not mix.
    let line = format!("{text}\n");
    _ = io::stderr().lock().write_all(line.as_bytes());
}

/// Writes news of any length: on a terminal it is wrapped between words.
pub(crate) fn prose(text: impl fmt::Display) {
    let (text, width) = (text.to_string(), stderr_width());
    let lines: Vec<_> = text.lines().map(|line| wrap(line, width, 0)).collect();
    news(lines.join("\n"));
}

/// So many entries, in words.
pub(crate) fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

/// Text from an entry as it can be shown: control characters escaped, since a terminal would obey them.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A size for people.
pub(crate) fn bytes(size: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if size < 1024 {
        return format!("{size} B");
    }
    let (mut value, mut unit) = (size as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_the_rest_kept() {
        assert_eq!(printable("Zoë \u{1b}[2J\n"), "Zoë \\u{1b}[2J\\n");
    }

    #[test]
    fn sizes_are_shown_in_their_unit() {
        for (size, shown) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 50, "3072.0 TiB")]
        {
            assert_eq!(bytes(size), shown);
        }
    }
}
