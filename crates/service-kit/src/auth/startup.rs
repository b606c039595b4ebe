//! [`Startup`]: whether a process asks for keys, and which there are, decided before it listens.

use std::{net::SocketAddr, path::Path};

use tokio_util::sync::CancellationToken;

use super::{Authenticator, keys_file::KeysFile};
use crate::config::{ApiKeyEntry, AuthMode, ConfigErrors, Resolved};

/// What is known of keys when a process starts. The default asks nobody for one.
#[derive(Debug, Default)]
pub struct Startup {
    required: bool,
    entries: Vec<ApiKeyEntry>,
    file: Option<KeysFile>,
    anonymous_rate_per_second: Option<f64>,
}

impl Startup {
    /// Decides by `auth.mode`; `listeners` are the process's, each with the setting that holds it.
    ///
    /// # Errors
    /// Where somebody beyond this machine could do everything and nobody has said that they may; where keys are asked for
    /// and there are none; what is wrong with `auth.keys_file`.
    pub fn load(resolved: &Resolved, listeners: &[(&'static str, SocketAddr)]) -> Result<Self, ConfigErrors> {
        let auth = &resolved.settings().auth;
        let configured = auth.keys.entries();
        let anonymous_rate_per_second =
            (auth.anonymous_rate_per_second > 0.0).then_some(auth.anonymous_rate_per_second);
        let has_keys = !configured.is_empty() || !auth.keys_file.is_empty();
        let required = match auth.mode {
            AuthMode::Off => false,
            AuthMode::Keys => true,
            AuthMode::Auto => has_keys,
        };
        if !required {
            if auth.mode == AuthMode::Auto {
                resolved.refuse_open_listeners(listeners)?;
            }
            return Ok(Self { anonymous_rate_per_second, ..Self::default() });
        }
        let (file, entries) = if auth.keys_file.is_empty() {
            (None, configured.to_vec())
        } else {
            let opened = KeysFile::open(Path::new(&auth.keys_file), configured);
            let (file, entries) = opened.map_err(|problems| resolved.refuse_keys_file(problems))?;
            (Some(file), entries)
        };
        if entries.is_empty() {
            return Err(resolved.refuse_no_keys());
        }
        Ok(Self { required, entries, file, anonymous_rate_per_second: None })
    }

    /// Keeps the keys to those of the file, if there is one, until shutdown.
    pub async fn watch(self, authenticator: Authenticator, shutdown: CancellationToken) {
        if let Some(file) = self.file {
            file.watch(authenticator, shutdown).await;
        }
    }

    /// Whether a key is asked for.
    pub fn keys_are_required(&self) -> bool {
        self.required
    }

    pub(super) fn entries(&self) -> &[ApiKeyEntry] {
        &self.entries
    }

    pub(super) fn anonymous_rate_per_second(&self) -> Option<f64> {
        self.anonymous_rate_per_second
    }
}
