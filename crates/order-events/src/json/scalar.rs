//! One JSON value as the text that an entry would hold.

use std::borrow::Cow;

/// A JSON value of an event's member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scalar<'a> {
    /// A string, its escapes resolved.
    Text(Cow<'a, str>),
    /// A number's literal, or `true` or `false`.
    Literal {
        /// The text as it was sent.
        text: &'a str,
        /// [`Scalar::NUMBER`] or [`Scalar::BOOLEAN`].
        kind: &'static str,
    },
    /// What an entry cannot hold: null, an object, an array.
    Refused {
        /// What it is.
        kind: &'static str,
    },
    /// A string with half of a surrogate pair, which is no Unicode text.
    BrokenText,
}

impl<'a> Scalar<'a> {
    pub(crate) const OBJECT: &'static str = "an object";
    pub(crate) const ARRAY: &'static str = "an array";
    pub(crate) const TEXT: &'static str = "a string";
    pub(crate) const NUMBER: &'static str = "a number";
    pub(crate) const BOOLEAN: &'static str = "a boolean";
    pub(crate) const NULL: &'static str = "null";

    /// Reads `json`, which must be one well-formed JSON value without white space around it.
    pub(crate) fn read(json: &'a str) -> Self {
        match kind_of(json) {
            Self::TEXT => read_text(json).map_or(Self::BrokenText, Self::Text),
            kind @ (Self::NUMBER | Self::BOOLEAN) => Self::Literal { text: json, kind },
            kind => Self::Refused { kind },
        }
    }

    /// Why this value cannot be what is `allowed`.
    pub(crate) fn refusal(&self, allowed: &str) -> String {
        let found = match self {
            Self::BrokenText => return "is not Unicode text (half of a surrogate pair)".to_owned(),
            Self::Text(_) => Self::TEXT,
            Self::Literal { kind, .. } | Self::Refused { kind } => *kind,
        };
        format!("is {found}; allowed: {allowed}")
    }
}

/// What kind of JSON value `json` begins with.
pub(crate) fn kind_of(json: &str) -> &'static str {
    match json.trim_ascii_start().as_bytes().first() {
        Some(b'{') => Scalar::OBJECT,
        Some(b'[') => Scalar::ARRAY,
        Some(b'"') => Scalar::TEXT,
        Some(b't' | b'f') => Scalar::BOOLEAN,
        Some(b'n') => Scalar::NULL,
        _ => Scalar::NUMBER,
    }
}

/// The text of a well-formed JSON string; none if it has half of a surrogate pair.
pub(crate) fn read_text(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.contains('\\') => Some(Cow::Borrowed(inner)),
        _ => serde_json::from_str(json).ok().map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_keep_their_text() {
        assert_eq!(Scalar::read(r#""plain""#), Scalar::Text(Cow::Borrowed("plain")));
        assert_eq!(Scalar::read(r#""a\"\u00e6\ud83d\ude00""#), Scalar::Text(Cow::Borrowed("a\"æ😀")));
        assert_eq!(Scalar::read(r#""\ud83d""#), Scalar::BrokenText);
        assert_eq!(Scalar::read("1.50"), Scalar::Literal { text: "1.50", kind: "a number" });
        assert_eq!(Scalar::read("-1e400"), Scalar::Literal { text: "-1e400", kind: "a number" });
        assert_eq!(Scalar::read("true"), Scalar::Literal { text: "true", kind: "a boolean" });
        for (json, kind) in [("null", "null"), ("{}", "an object"), ("[1]", "an array")] {
            assert_eq!(Scalar::read(json), Scalar::Refused { kind });
        }
    }
}
