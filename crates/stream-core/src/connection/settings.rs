//! [`ConnectSettings`]: how to reach Redis.

use std::{fmt, path::PathBuf, time::Duration};

/// How to reach Redis. What came from a file is read again whenever the server refuses us, so that passwords and
/// certificates are rotated without a restart.
#[derive(Clone)]
pub struct ConnectSettings {
    /// `redis://[user:password@]host:port/[db]`, or `rediss://…` for TLS.
    pub url: String,
    /// The file that the URL came from, if it did.
    pub url_file: Option<PathBuf>,
    /// The user, where the URL has none; empty for the default user.
    pub username: String,
    /// The file that the user came from, if it did.
    pub username_file: Option<PathBuf>,
    /// The password, where the URL has none; empty for none.
    pub password: String,
    /// The file that the password came from, if it did.
    pub password_file: Option<PathBuf>,
    /// Certificates, for TLS alone.
    pub tls: TlsFiles,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// How long an ordinary command may take.
    pub response_timeout: Duration,
    /// What a blocking read may take beyond its BLOCK. At least 5 s: some servers restart the BLOCK
    /// timer when another consumer takes the entry.
    pub blocking_margin: Duration,
}

/// PEM files. The server's certificate is verified in any case; nothing turns that off.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// The authorities to trust; without it, those of the system.
    pub ca: Option<PathBuf>,
    /// Our own certificate with its chain, for a server that asks for one.
    pub cert: Option<PathBuf>,
    /// The private key of `cert`.
    pub key: Option<PathBuf>,
}

impl Default for ConnectSettings {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379/".to_owned(),
            url_file: None,
            username: String::new(),
            username_file: None,
            password: String::new(),
            password_file: None,
            tls: TlsFiles::default(),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(2),
            blocking_margin: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for ConnectSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("ConnectSettings")
            .field("response_timeout", &self.response_timeout)
            .finish_non_exhaustive()
    }
}
