//! Setting types that are more than text or a number.

use std::fmt;
use std::path::{Path, PathBuf};

/// A Redis URL; `Debug` and `Display` mask its password, so that it can be logged.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    url: String,
    file: Option<PathBuf>,
}

impl RedisUrl {
    /// Takes any text; what is not a Redis URL is refused when the settings are checked.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), file: None }
    }

    /// Says that it was read from a file, which may hold another one later.
    #[must_use]
    pub(super) fn read_from(self, file: PathBuf) -> Self {
        Self { file: Some(file), ..self }
    }

    /// The file that it was read from (`ORDERFLOW__REDIS__URL__FILE`), if it was.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The URL with its password, for the client alone.
    pub fn expose(&self) -> &str {
        &self.url
    }

    /// The URL with `***` for the password in its authority or its `pass` parameter.
    pub fn masked(&self) -> String {
        let Ok(mut url) = url::Url::parse(&self.url) else {
            // What does not parse cannot be masked part by part.
            return "***".to_owned();
        };
        if url.password().is_some() && url.set_password(Some("***")).is_err() {
            return "***".to_owned();
        }
        if url.query_pairs().any(|(name, _)| name == "pass") {
            let pairs: Vec<_> = url.query_pairs().into_owned().collect();
            let masked = pairs
                .iter()
                .map(|(name, value)| (name.as_str(), if name == "pass" { "***" } else { value.as_str() }));
            url.query_pairs_mut().clear().extend_pairs(masked);
        }
        url.into()
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.masked())
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// A credential; `Debug` and `Display` mask it, so that it can be logged. Empty where there is none.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes any text; what cannot be used is refused when the settings are checked.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The credential itself, for who compares or sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `***`, or nothing where there is none.
    pub fn masked(&self) -> &'static str {
        if self.is_empty() { "" } else { "***" }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.masked())
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.masked())
    }
}

/// An enum that is written as one word in the configuration.
pub(super) trait Word: Copy + 'static {
    const ALL: &'static [Self];
    const ALLOWED: &'static str;
    fn word(self) -> &'static str;

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.word() == word)
    }
}

macro_rules! word_enum {
    ($(#[$meta:meta])* $name:ident, $allowed:literal { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            /// The word that stands for it in the configuration and in metric labels.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Word for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];
            const ALLOWED: &'static str = $allowed;
            fn word(self) -> &'static str { self.as_str() }
        }
    };
}

word_enum! {
    /// How log lines are written.
    LogFormat, "human or json" {
        /// Lines for people, coloured on a terminal.
        Human = "human",
        /// One JSON object a line, for collectors.
        Json = "json",
    }
}

word_enum! {
    /// What bounds the stream.
    RetentionPolicy, "guarded, age or maxlen" {
        /// By age, but never past what a waited-for group has not acked.
        Guarded = "guarded",
        /// By age alone (XTRIM MINID).
        Age = "age",
        /// By length, on every append (MAXLEN).
        Maxlen = "maxlen",
    }
}

word_enum! {
    /// What must have happened to an event before it counts as stored, beyond Redis having it in memory.
    Durability, "none, replica or fsync" {
        /// Nothing more.
        None = "none",
        /// Replicas have it (WAIT).
        Replica = "replica",
        /// Redis has synced it to its own disk (WAITAOF).
        Fsync = "fsync",
    }
}

word_enum! {
    /// Where a notification goes.
    Channel, "a list of: log" {
        /// The service's own log.
        Log = "log",
    }
}
