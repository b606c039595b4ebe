//! Everything the command writes: results to standard output, news to standard error.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
};

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

/// Whether standard error is a terminal that takes colours.
pub(crate) fn stderr_takes_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_the_rest_kept() {
        assert_eq!(printable("Zoë \u{1b}[2J\n"), "Zoë \\u{1b}[2J\\n");
    }
}
