//! Keeps a log line for people one line, whatever its values hold.

use std::borrow::Cow;

const ESCAPE: char = '\u{1b}';
/// The escape sequences that the formatter colours a line with: `ESC [ n m` for these n. None hides text or moves the cursor.
const COLOURS: [&str; 11] = ["0", "1", "2", "3", "31", "32", "33", "34", "35", "36", "4"];

/// The same text on one line: what would end a line, move the cursor of a terminal or hide something is written as an
/// escape. Colours stay where the line is for a terminal.
///
/// The formatter does not do it by itself: what is logged with `%` goes out as it is.
pub(crate) fn one_line(line: &str, is_coloured: bool) -> Cow<'_, str> {
    if !line.contains(breaks) {
        return Cow::Borrowed(line);
    }
    let mut text = String::with_capacity(line.len() + 16);
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        let colour = if is_coloured && character == ESCAPE { colour(rest.as_str()) } else { None };
        if let Some(sequence) = colour {
            text.push(ESCAPE);
            text.push_str(sequence);
            rest = rest.as_str()[sequence.len()..].chars();
        } else if breaks(character) {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    Cow::Owned(text)
}

/// The rest of a sequence that begins here after an escape, if it is one of the formatter's.
fn colour(rest: &str) -> Option<&str> {
    let inside = rest.strip_prefix('[')?;
    let (number, _) = inside.split_once('m')?;
    COLOURS.contains(&number).then(|| &rest[..number.len() + 2])
}

/// Control characters, the line and paragraph separators of Unicode, and what turns the direction of text around, so that
/// a value looks like something else.
fn breaks(character: char) -> bool {
    let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let ends = matches!(character, '\u{2028}' | '\u{2029}');
    ends || turns || character.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_lines_stay_as_they_are() {
        for line in ["claimed entry=\"1-0\"", "größer ✓", ""] {
            assert!(matches!(one_line(line, false), Cow::Borrowed(same) if same == line), "{line:?}");
        }
    }

    #[test]
    fn nothing_ends_the_line_or_moves_the_cursor() {
        let shown = one_line("a\nb\rc\td\u{0}e\u{85}f\u{2028}g\u{202e}h\u{8}", true);
        assert_eq!(shown, "a\\nb\\rc\\td\\u{0}e\\u{85}f\\u{2028}g\\u{202e}h\\u{8}");
    }

    #[test]
    fn on_a_terminal_the_formatters_colours_stay_and_nothing_else_does() {
        let coloured = "\u{1b}[32mINFO\u{1b}[0m x";
        assert_eq!(one_line(coloured, true), coloured);
        assert_eq!(one_line(coloured, false), "\\u{1b}[32mINFO\\u{1b}[0m x");
        for evil in
            ["\u{1b}[2J", "\u{1b}[8m", "\u{1b}]0;title\u{7}", "\u{1b}", "\u{1b}[", "\u{1b}[1;31m", "\u{9b}2J"]
        {
            assert!(!one_line(evil, true).contains(char::is_control), "{evil:?}");
        }
    }
}
