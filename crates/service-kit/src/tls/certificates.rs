//! [`Certificates`]: what a port shows its clients, read again when the files change.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use rustls::{ServerConfig, server::WebPkiClientVerifier};

use super::{
    client::provider,
    files::{Pair, PemFile, Stamp, TlsError},
    validity::not_after,
};
use crate::{config, http::TlsMetrics};

/// A handshake looks at the files if nobody has for so long.
const FRESH: Duration = Duration::from_secs(1);

/// The configuration of a TLS port, which follows its files.
#[derive(Debug)]
pub(crate) struct Certificates {
    listener: &'static str,
    files: Files,
    current: RwLock<Arc<ServerConfig>>,
    seen: Mutex<Seen>,
    metrics: TlsMetrics,
}

#[derive(Debug)]
struct Files {
    pair: Pair,
    client_ca: Option<PemFile>,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    /// The state of the files that is in use.
    used: Stamp,
    /// The state that could not be used, which is told once.
    refused: Option<Stamp>,
}

impl Certificates {
    /// Reads the files of a port; `client_ca` decides who may connect, where there is one.
    pub(crate) fn read(
        listener: &'static str,
        settings: &config::Tls,
        client_ca: &Path,
        metrics: TlsMetrics,
    ) -> Result<Self, TlsError> {
        let pair = Pair {
            cert: PemFile::new("tls.cert", &settings.cert),
            key: PemFile::new("tls.key", &settings.key),
        };
        let client_ca = (!client_ca.as_os_str().is_empty()).then(|| PemFile::new("tls.client_ca", client_ca));
        let files = Files { pair, client_ca };
        // Before they are read: what changes meanwhile is read again.
        let used = files.stamp();
        let (config, end) = files.load()?;
        note_end(&metrics, end);
        metrics.reload_failed.set(0);
        let seen = Mutex::new(Seen { at: Instant::now(), used, refused: None });
        Ok(Self { listener, files, current: RwLock::new(config), seen, metrics })
    }

    /// What the next handshake uses.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        self.look(FRESH);
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the files, unless somebody did within `fresh` or does now, and takes over what they have become. What
    /// cannot be used, such as a pair of which one half is written, changes nothing.
    pub(crate) fn look(&self, fresh: Duration) {
        let Ok(mut seen) = self.seen.try_lock() else { return };
        if seen.at.elapsed() < fresh {
            return;
        }
        seen.at = Instant::now();
        let stamp = self.files.stamp();
        if seen.refused.as_ref() == Some(&stamp) || (stamp == seen.used && seen.refused.is_none()) {
            return;
        }
        match self.files.load() {
            Ok((config, end)) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
                *seen = Seen { at: seen.at, used: stamp, refused: None };
                note_end(&self.metrics, end);
                self.metrics.reload_failed.set(0);
                tracing::info!(
                    listener = self.listener,
                    "the certificate was renewed; new connections get it"
                );
            }
            Err(error) => {
                seen.refused = Some(stamp);
                self.metrics.reload_failed.set(1);
                tracing::error!(
                    listener = self.listener, %error,
                    "the changed certificate cannot be used; the old one is served on"
                );
            }
        }
    }
}

impl Files {
    fn stamp(&self) -> Stamp {
        Stamp::of([&self.pair.cert, &self.pair.key].into_iter().chain(&self.client_ca))
    }

    /// The configuration, and when the first certificate of its chain ends.
    fn load(&self) -> Result<(Arc<ServerConfig>, Option<i64>), TlsError> {
        let provider = provider();
        let pair = self.pair.read(&provider)?;
        self.pair.warn_if_open();
        let end = pair.cert.iter().map(|certificate| not_after(certificate)).min().flatten();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let roots = Arc::new(file.roots()?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(pair)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok((Arc::new(config), end))
    }
}

fn note_end(metrics: &TlsMetrics, end: Option<i64>) {
    // A certificate whose end cannot be read counts as ended long ago: somebody should look at it.
    metrics.not_after.set(end.unwrap_or(1));
}
