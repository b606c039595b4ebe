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

/// An HTTP URL that may be a secret by itself: `Debug` and `Display` show scheme, host and port alone.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(String);

impl HttpUrl {
    /// Takes any text; what is not a URL is refused when the settings are checked.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The whole URL, for who sends requests there.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The URL with `***` for everything after the authority, which often holds a token.
    pub fn masked(&self) -> String {
        let Ok(url) = url::Url::parse(&self.0) else { return "***".to_owned() };
        let origin = url.origin();
        match origin.is_tuple() {
            true if url.path() == "/" && url.query().is_none() => {
                format!("{}/", origin.ascii_serialization())
            }
            true => format!("{}/***", origin.ascii_serialization()),
            false => "***".to_owned(),
        }
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.masked())
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// A name that is no secret, and that may have been read from a file, which may hold another one later. Empty where
/// there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username {
    name: String,
    file: Option<PathBuf>,
}

impl Username {
    /// Takes any text.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), file: None }
    }

    /// Says that it was read from a file.
    #[must_use]
    pub(super) fn read_from(self, file: PathBuf) -> Self {
        Self { file: Some(file), ..self }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The file that it was read from, if it was.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

/// A credential; `Debug` and `Display` mask it, so that it can be logged. Empty where there is none.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    secret: String,
    file: Option<PathBuf>,
}

impl Secret {
    /// Takes any text; what cannot be used is refused when the settings are checked.
    pub fn new(secret: impl Into<String>) -> Self {
        Self { secret: secret.into(), file: None }
    }

    /// Says that it was read from a file, which may hold another one later.
    #[must_use]
    pub(super) fn read_from(self, file: PathBuf) -> Self {
        Self { file: Some(file), ..self }
    }

    /// The file that it was read from (`…__FILE` in the environment), if it was.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The credential itself, for who compares or sends it.
    pub fn expose(&self) -> &str {
        &self.secret
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.secret.is_empty()
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
    /// Whether callers need an API key.
    AuthMode, "auto, keys or off" {
        /// If there are keys; without any, only what listens on loopback may be open.
        Auto = "auto",
        /// Always.
        Keys = "keys",
        /// Never: whoever reaches a port may use it.
        Off = "off",
    }
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
    Channel, "a list of: log, smtp, webhook" {
        /// The service's own log.
        Log = "log",
        /// E-mail, as the section `smtp` says.
        Smtp = "smtp",
        /// HTTP requests to the endpoints of the section `webhook`.
        Webhook = "webhook",
    }
}

word_enum! {
    /// How the connection to a mail server is protected.
    SmtpSecurity, "starttls, tls or none" {
        /// TLS after STARTTLS, without which nothing is sent; port 587.
        Starttls = "starttls",
        /// TLS from the start; port 465.
        Tls = "tls",
        /// Not at all; port 25.
        None = "none",
    }
}
