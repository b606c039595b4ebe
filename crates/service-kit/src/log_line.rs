//! Keeps a log line for people one line, whatever its values hold.

use std::borrow::Cow;

/// The same text on one line: what would end a line, or move the cursor of a terminal, is written as an escape.
///
/// Escape (U+001B) stays: in values the formatter has written it out already, and its own are the colours.
pub(crate) fn one_line(line: &str) -> Cow<'_, str> {
    if !line.contains(breaks) {
        return Cow::Borrowed(line);
    }
    let mut text = String::with_capacity(line.len() + 16);
    for character in line.chars() {
        if breaks(character) { text.extend(character.escape_default()) } else { text.push(character) }
    }
    Cow::Owned(text)
}

/// Control characters, the line and paragraph separators of Unicode, and what turns the direction of text around, so that
/// a value looks like something else.
fn breaks(character: char) -> bool {
    let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let ends = matches!(character, '\u{2028}' | '\u{2029}');
    ends || turns || (character.is_control() && character != '\u{1b}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_lines_and_colours_stay_as_they_are() {
        for line in ["claimed entry=\"1-0\"", "\u{1b}[32mINFO\u{1b}[0m größer ✓", ""] {
            assert!(matches!(one_line(line), Cow::Borrowed(same) if same == line), "{line:?}");
        }
    }

    #[test]
    fn nothing_ends_the_line_or_moves_the_cursor() {
        let shown = one_line("a\nb\rc\td\u{0}e\u{85}f\u{2028}g\u{202e}h\u{8}");
        assert_eq!(shown, "a\\nb\\rc\\td\\u{0}e\\u{85}f\\u{2028}g\\u{202e}h\\u{8}");
    }
}
