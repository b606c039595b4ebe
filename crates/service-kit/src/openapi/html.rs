//! Text that becomes HTML: everything is escaped.

use std::fmt::{self, Write as _};

/// Text, escaped for an element's content and for a quoted attribute.
pub(super) struct Escaped<T>(pub(super) T);

impl<T: AsRef<str>> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.as_ref().split_inclusive(['&', '<', '>', '"', '\'']) {
            let (text, entity) = match part.as_bytes().last() {
                Some(b'&') => (&part[..part.len() - 1], "&amp;"),
                Some(b'<') => (&part[..part.len() - 1], "&lt;"),
                Some(b'>') => (&part[..part.len() - 1], "&gt;"),
                Some(b'"') => (&part[..part.len() - 1], "&quot;"),
                Some(b'\'') => (&part[..part.len() - 1], "&#39;"),
                _ => (part, ""),
            };
            f.write_str(text)?;
            f.write_str(entity)?;
        }
        Ok(())
    }
}

/// A description as the document has it, of Markdown only what descriptions here use: paragraphs, `code` and lists.
pub(super) fn prose(text: &str) -> String {
    let mut html = String::new();
    // Writing to a String cannot fail.
    for block in text.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        let Some(items) = block.strip_prefix("- ") else {
            _ = writeln!(html, "<p>{}</p>", inline(block));
            continue;
        };
        html += "<ul>";
        for item in items.split("\n- ") {
            _ = write!(html, "<li>{}</li>", inline(item));
        }
        html += "</ul>\n";
    }
    html
}

/// One paragraph's text.
pub(super) fn inline(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(at, part)| match at % 2 {
            0 => Escaped(part).to_string(),
            _ => format!("<code>{}</code>", Escaped(part)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_becomes_markup() {
        assert_eq!(Escaped("a<b>&\"'c").to_string(), "a&lt;b&gt;&amp;&quot;&#39;c");
        assert_eq!(inline("`<x>` & y"), "<code>&lt;x&gt;</code> &amp; y");
    }

    #[test]
    fn paragraphs_and_lists_are_told_apart() {
        assert_eq!(
            prose("One\ntwo.\n\n- a\n- `b`\n  c\n\n"),
            "<p>One\ntwo.</p>\n<ul><li>a</li><li><code>b</code>\n  c</li></ul>\n"
        );
    }
}
