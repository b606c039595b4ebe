//! The quoted string that header fields share (RFC 9651, `sf-string`).

/// Reads a quoted string of printable ASCII characters at the beginning of `text`; also returns what follows it.
pub(super) fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &inner[at + 1..])),
            '\\' => match characters.next() {
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                _ => return None,
            },
            ' '..='~' => value.push(character),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_at_its_quote() {
        assert_eq!(quoted(r#""a\"b\\" c"#), Some((r#"a"b\"#.to_owned(), " c")));
        assert_eq!(quoted(r#""""#), Some((String::new(), "")));
        for text in ["", "a", "\"a", r#""a\"#, r#""a\n""#, "\"\u{7f}\"", "\"ä\""] {
            assert_eq!(quoted(text), None, "{text:?}");
        }
    }
}
