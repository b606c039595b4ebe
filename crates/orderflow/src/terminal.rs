//! The terminal that results are written to, if it is one.

use std::io::stdout;

/// The width of the terminal that standard output is, in columns; `None` if it is none.
pub(crate) fn width() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(stdout())?;
    Some(usize::from(width.0))
}
