//! The terminal that is written to, if it is one.

use std::io::{IsTerminal as _, stderr, stdout};

/// The width of the terminal that standard output is, in columns; `None` if it is none.
pub(crate) fn width() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(stdout())?;
    Some(usize::from(width.0))
}

/// The same of standard error.
pub(crate) fn stderr_width() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(stderr())?;
    Some(usize::from(width.0))
}

/// Whether standard output is a terminal that takes colours.
pub(crate) fn stdout_takes_colour() -> bool {
    stdout().is_terminal() && colour_is_wanted()
}

/// Whether standard error is a terminal that takes colours.
pub(crate) fn stderr_takes_colour() -> bool {
    stderr().is_terminal() && colour_is_wanted()
}

/// See <https://no-color.org>.
fn colour_is_wanted() -> bool {
    let unset_or = |name: &str, fits: fn(&std::ffi::OsStr) -> bool| {
        std::env::var_os(name).is_none_or(|value| fits(&value))
    };
    unset_or("NO_COLOR", std::ffi::OsStr::is_empty) && unset_or("TERM", |term| term != "dumb")
}

/// Words in lines of at most `width` characters, if there is a limit; the lines after the first begin with `indent` spaces.
pub(crate) fn wrap(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(width) = width.filter(|width| *width > indent) else { return text.to_owned() };
    let mut wrapped = String::with_capacity(text.len());
    let (mut column, mut is_first) = (0, true);
    for word in text.split_inclusive(' ') {
        let chars = word.trim_end().chars().count();
        if column + chars > width && !is_first {
            wrapped.truncate(wrapped.trim_end().len());
            wrapped.push('\n');
            wrapped.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        }
        wrapped.push_str(word);
        is_first = false;
        column += word.chars().count();
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_wrapped_between_words() {
        let text = "ok    one two three four";
        assert_eq!(wrap(text, Some(14), 6), "ok    one two\n      three\n      four");
        assert_eq!(wrap(text, None, 6), text);
        assert_eq!(wrap("a word_too_long_for_it b", Some(6), 2), "a\n  word_too_long_for_it\n  b");
    }
}
