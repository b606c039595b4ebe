//! How each type of setting is read from a leaf and written as TOML.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ::config::ValueKind;
use jiff::SpanRelativeTo;
use jiff::fmt::friendly::{SpanParser, SpanPrinter};

use super::layer::{Leaf, Origin};
use super::resolve::Reader;
use super::types::{
    AuthMode, Channel, Durability, HttpUrl, LogFormat, RedisUrl, RetentionPolicy, Secret, SmtpSecurity,
    Username, Word,
};

/// A type that a setting can have.
pub(super) trait Setting: Sized {
    /// What may be written, for error messages.
    const ALLOWED: &'static str;

    /// The value, or `None` if the leaf is not of this type.
    fn parse(leaf: &Leaf) -> Option<Self>;

    /// The value as TOML, secrets masked.
    fn to_toml(&self) -> String;

    /// Reads the setting; only a free table needs more than its one leaf.
    fn read(reader: &mut Reader<'_>, key: &'static str) -> Self {
        reader.leaf(key)
    }
}

fn text(leaf: &Leaf) -> Option<&str> {
    match &leaf.value {
        ValueKind::String(text) => Some(text),
        _ => None,
    }
}

/// A TOML basic string; JSON's escapes are a subset of TOML's.
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Setting for String {
    const ALLOWED: &'static str = "text";

    fn parse(leaf: &Leaf) -> Option<Self> {
        text(leaf).map(str::to_owned)
    }

    fn to_toml(&self) -> String {
        quote(self)
    }
}

impl Setting for RedisUrl {
    const ALLOWED: &'static str = "a URL such as redis://user:password@host:6379/0";

    fn parse(leaf: &Leaf) -> Option<Self> {
        let url = text(leaf).map(Self::new)?;
        Some(match &leaf.origin {
            Origin::EnvFile { path, .. } => url.read_from(path.clone()),
            _ => url,
        })
    }

    fn to_toml(&self) -> String {
        quote(&self.masked())
    }
}

impl Setting for HttpUrl {
    const ALLOWED: &'static str = "a URL such as https://host/path";

    fn parse(leaf: &Leaf) -> Option<Self> {
        text(leaf).map(Self::new)
    }

    fn to_toml(&self) -> String {
        quote(&self.masked())
    }
}

impl Setting for Vec<Secret> {
    const ALLOWED: &'static str = <Vec<String> as Setting>::ALLOWED;

    fn parse(leaf: &Leaf) -> Option<Self> {
        Vec::<String>::parse(leaf).map(|secrets| secrets.into_iter().map(Secret::new).collect())
    }

    fn to_toml(&self) -> String {
        self.iter().map(|secret| secret.masked().to_owned()).collect::<Vec<_>>().to_toml()
    }
}

impl Setting for Secret {
    const ALLOWED: &'static str = "text";

    fn parse(leaf: &Leaf) -> Option<Self> {
        let secret = text(leaf).map(Self::new)?;
        Some(match &leaf.origin {
            Origin::EnvFile { path, .. } => secret.read_from(path.clone()),
            _ => secret,
        })
    }

    fn to_toml(&self) -> String {
        quote(self.masked())
    }
}

impl Setting for Username {
    const ALLOWED: &'static str = "text";

    fn parse(leaf: &Leaf) -> Option<Self> {
        let name = text(leaf).map(Self::new)?;
        Some(match &leaf.origin {
            Origin::EnvFile { path, .. } => name.read_from(path.clone()),
            _ => name,
        })
    }

    fn to_toml(&self) -> String {
        quote(self.as_str())
    }
}

impl Setting for bool {
    const ALLOWED: &'static str = "true or false";

    fn parse(leaf: &Leaf) -> Option<Self> {
        match &leaf.value {
            ValueKind::Boolean(value) => Some(*value),
            ValueKind::String(text) if leaf.origin.is_text() => text.trim().parse().ok(),
            _ => None,
        }
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

macro_rules! integer_setting {
    ($($ty:ty),+) => {$(
        impl Setting for $ty {
            const ALLOWED: &'static str = "a whole number, not negative";

            fn parse(leaf: &Leaf) -> Option<Self> {
                match &leaf.value {
                    ValueKind::I64(value) => (*value).try_into().ok(),
                    ValueKind::String(text) if leaf.origin.is_text() => text.trim().parse().ok(),
                    _ => None,
                }
            }

            fn to_toml(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

integer_setting!(usize, u16, u32, u64);

impl Setting for f64 {
    const ALLOWED: &'static str = "a number, such as 0.2";

    fn parse(leaf: &Leaf) -> Option<Self> {
        let number = match &leaf.value {
            ValueKind::Float(value) => *value,
            // Exact far beyond any number of use here.
            ValueKind::I64(value) => i32::try_from(*value).ok()?.into(),
            ValueKind::String(text) if leaf.origin.is_text() => text.trim().parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    fn to_toml(&self) -> String {
        // With a point, so that it is read back as what it is.
        format!("{self:?}")
    }
}

/// A file; empty where there is none.
impl Setting for PathBuf {
    const ALLOWED: &'static str = "the path of a file, or empty";

    fn parse(leaf: &Leaf) -> Option<Self> {
        text(leaf).map(Into::into)
    }

    fn to_toml(&self) -> String {
        quote(&self.to_string_lossy())
    }
}

impl Setting for SocketAddr {
    const ALLOWED: &'static str = "IP:port, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080";

    fn parse(leaf: &Leaf) -> Option<Self> {
        text(leaf)?.trim().parse().ok()
    }

    fn to_toml(&self) -> String {
        quote(&self.to_string())
    }
}

impl Setting for Duration {
    const ALLOWED: &'static str = "a number and a unit, such as \"250ms\", \"5s\", \"2m\", \"1h\" or \"7d\"";

    fn parse(leaf: &Leaf) -> Option<Self> {
        let span = SpanParser::new().parse_span(text(leaf)?.trim()).ok()?;
        span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?.try_into().ok()
    }

    fn to_toml(&self) -> String {
        quote(&friendly(*self))
    }
}

/// A duration in the largest unit that divides it, as people write it in the file.
pub(super) fn friendly(duration: Duration) -> String {
    const UNITS: [(u128, &str); 5] =
        [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let millis = duration.as_millis();
    let whole = millis > 0 && duration.subsec_nanos().is_multiple_of(1_000_000);
    match UNITS.iter().find(|(unit, _)| whole && millis.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None => SpanPrinter::new().unsigned_duration_to_string(&duration),
    }
}

impl Setting for Vec<String> {
    const ALLOWED: &'static str =
        "a list of text (in the environment and in flags: comma separated, without brackets)";

    fn parse(leaf: &Leaf) -> Option<Self> {
        match &leaf.value {
            ValueKind::Array(items) => items
                .iter()
                .map(|item| match &item.kind {
                    ValueKind::String(text) => Some(text.clone()),
                    _ => None,
                })
                .collect(),
            // TOML's own notation would become part of the first and the last item.
            ValueKind::String(text) if leaf.origin.is_text() && !text.trim_start().starts_with('[') => Some(
                text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect(),
            ),
            _ => None,
        }
    }

    fn to_toml(&self) -> String {
        let items: Vec<_> = self.iter().map(|item| quote(item)).collect();
        format!("[{}]", items.join(", "))
    }
}

impl Setting for Vec<Channel> {
    const ALLOWED: &'static str = Channel::ALLOWED;

    fn parse(leaf: &Leaf) -> Option<Self> {
        Vec::<String>::parse(leaf)?.iter().map(|word| Channel::from_word(word)).collect()
    }

    fn to_toml(&self) -> String {
        self.iter().map(ToString::to_string).collect::<Vec<_>>().to_toml()
    }
}

macro_rules! word_setting {
    ($($ty:ty),+) => {$(
        impl Setting for $ty {
            const ALLOWED: &'static str = <$ty as Word>::ALLOWED;

            fn parse(leaf: &Leaf) -> Option<Self> {
                <$ty>::from_word(text(leaf)?.trim())
            }

            fn to_toml(&self) -> String {
                quote(self.as_str())
            }
        }
    )+};
}

word_setting!(AuthMode, Durability, LogFormat, RetentionPolicy, SmtpSecurity);

/// A free table: its keys are the user's, so it is read from every leaf below its key.
impl Setting for BTreeMap<String, String> {
    const ALLOWED: &'static str = "text";

    fn parse(_: &Leaf) -> Option<Self> {
        None
    }

    fn to_toml(&self) -> String {
        let entries: Vec<_> =
            self.iter().map(|(key, value)| format!("{} = {}", quote(key), quote(value))).collect();
        format!("{{ {} }}", entries.join(", "))
    }

    fn read(reader: &mut Reader<'_>, key: &'static str) -> Self {
        reader.free_table(key)
    }
}
