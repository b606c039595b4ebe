//! The rule for identifiers such as `order_id`, and how values are quoted in messages.

use crate::limits::MAX_TEXT_CHARS;

/// Longest piece of a client's value or field name that a message repeats, in characters.
const MAX_SHOWN_CHARS: usize = 40;

/// Why a text is not 1 to [`MAX_TEXT_CHARS`] printable characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// There is no character at all.
    #[error("is empty; allowed: 1 to {MAX_TEXT_CHARS} printable characters")]
    Empty,
    /// There is white space only.
    #[error("is blank; allowed: 1 to {MAX_TEXT_CHARS} printable characters, not only spaces")]
    Blank,
    /// There are too many characters.
    #[error("has {chars} characters; allowed: 1 to {MAX_TEXT_CHARS} printable characters")]
    TooLong {
        /// How many characters there are.
        chars: usize,
    },
    /// One of the characters is a control character.
    #[error(
        "has the control character U+{:04X} at position {position}; allowed: 1 to {MAX_TEXT_CHARS} printable characters",
        u32::from(*character)
    )]
    Control {
        /// The first offending character.
        character: char,
        /// Its position in characters, from 1.
        position: usize,
    },
}

/// Checks that `text` is 1 to [`MAX_TEXT_CHARS`] printable characters and not blank.
pub(crate) fn check_text(text: &str) -> Result<(), TextError> {
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    // Bytes bound characters from above, so short texts need no count.
    if text.len() > MAX_TEXT_CHARS {
        let chars = text.chars().count();
        if chars > MAX_TEXT_CHARS {
            return Err(TextError::TooLong { chars });
        }
    }
    if let Some((index, character)) = text.chars().enumerate().find(|(_, c)| c.is_control()) {
        return Err(TextError::Control { character, position: index + 1 });
    }
    if text.trim_start().is_empty() {
        return Err(TextError::Blank);
    }
    Ok(())
}

/// The start of `value`, marked with `…` where it was cut, so that messages stay short.
pub(crate) fn shorten(value: &str) -> String {
    match value.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_of_any_script_is_fine() {
        for text in ["o", "o-1234", "Ærø & søn", "注文 12", &"x".repeat(128), &"注".repeat(128)] {
            assert_eq!(check_text(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn every_rule_has_its_message() {
        let cases = [
            ("", "is empty; allowed: 1 to 128 printable characters"),
            (" \u{a0} ", "is blank; allowed: 1 to 128 printable characters, not only spaces"),
            (&"注".repeat(129), "has 129 characters; allowed: 1 to 128 printable characters"),
            (
                "注\u{7}",
                "has the control character U+0007 at position 2; allowed: 1 to 128 printable characters",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(check_text(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(shorten("short"), "short");
        assert_eq!(shorten(&"注".repeat(40)), "注".repeat(40));
        assert_eq!(shorten(&"注".repeat(41)), format!("{}…", "注".repeat(40)));
    }
}
