//! Text from outside, made fit for a line of a log, a dead letter or a header.

/// The text without control characters (each run of white space and controls is one space), at most `max` characters.
pub(crate) fn line(text: &str, max: usize) -> String {
    let mut plain = String::with_capacity(text.len().min(max));
    let mut count = 0;
    let breaks = |c: char| c.is_whitespace() || c.is_control() || is_format(c);
    for word in text.split(breaks).filter(|word| !word.is_empty()) {
        if count > 0 && count < max {
            plain.push(' ');
            count += 1;
        }
        for c in word.chars().take(max - count) {
            plain.push(c);
            count += 1;
        }
        if count >= max {
            break;
        }
    }
    plain
}

/// Characters that are not seen but change how the others are: directions, line separators, byte order marks.
const fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn what_breaks_a_line_is_a_space() {
        assert_eq!(line("a\r\nBcc: x@y.example\0 b\t\tc", 99), "a Bcc: x@y.example b c");
        assert_eq!(line("\u{85}one\u{2028}two\u{202e}three", 99), "one two three");
    }

    #[test]
    fn it_is_bounded_in_characters() {
        assert_eq!(line("äöü äöü", 5), "äöü ä");
        assert_eq!(line("abc", 3), "abc");
        assert_eq!(line("   ", 3), "");
        assert_eq!(line(&"word ".repeat(1_000), 12).chars().count(), 12);
    }
}
