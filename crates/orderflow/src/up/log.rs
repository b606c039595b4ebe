//! The services' log lines, each under the name of its service.

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    task::JoinHandle,
};

use crate::{output::news, terminal::stderr_takes_colour};

/// A longer line is shown in parts.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// Colours of the names, by turns: cyan, yellow, magenta, green.
const COLOURS: [u8; 4] = [36, 33, 35, 32];

/// How the lines of one service are shown.
#[derive(Debug, Clone)]
pub(super) struct LogLines {
    prefix: String,
}

impl LogLines {
    /// Lines as they are: for formats that name the service in every line.
    pub(super) fn plain() -> Self {
        Self { prefix: String::new() }
    }

    /// Lines after the name, filled up to `width`; in colour if standard error takes it.
    pub(super) fn named(name: &str, width: usize, index: usize) -> Self {
        Self { prefix: prefix(name, width, stderr_takes_colour().then_some(COLOURS[index % COLOURS.len()])) }
    }

    /// Shows everything that comes until the end.
    pub(super) fn pump(self, output: impl AsyncRead + Send + Unpin + 'static) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            // An error of a pipe is its end.
            while let Ok(1..) = (&mut output).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
                let text = String::from_utf8_lossy(&line);
                news(format_args!("{}{}", self.prefix, text.trim_end_matches(['\r', '\n'])));
                line.clear();
            }
        })
    }
}

fn prefix(name: &str, width: usize, colour: Option<u8>) -> String {
    match colour {
        Some(colour) => format!("\x1b[{colour}m{name:width$} |\x1b[0m "),
        None => format!("{name:width$} | "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_aligned_and_coloured_on_a_terminal_alone() {
        assert_eq!(prefix("reaper", 8, None), "reaper   | ");
        assert_eq!(prefix("reaper", 8, Some(32)), "\x1b[32mreaper   |\x1b[0m ");
    }
}
