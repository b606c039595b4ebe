//! Whom our own HTTP clients trust, and what they show.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider, sign::SingleCertAndKey};

use super::files::{Pair, PemFile, TlsError};
use crate::config;

/// The configuration of a client: it trusts `tls.ca`, else what the system trusts, and shows `tls.client_cert` where
/// there is one. Nothing turns verification off.
pub fn client_config(settings: &config::Tls) -> Result<ClientConfig, TlsError> {
    let roots =
        if is_set(&settings.ca) { PemFile::new("tls.ca", &settings.ca).roots()? } else { system_roots() };
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    if !is_set(&settings.client_cert) {
        return Ok(builder.with_no_client_auth());
    }
    let pair = Pair {
        cert: PemFile::new("tls.client_cert", &settings.client_cert),
        key: PemFile::new("tls.client_key", &settings.client_key),
    };
    let certified = pair.read(&provider)?;
    pair.warn_if_open();
    Ok(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified))))
}

/// The installed provider, or ring where none is.
pub(super) fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()))
}

fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some authorities of a system may be of a kind that rustls does not take.
    let (taken, _ignored) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        // An image without any is fine as long as nobody asks for https: then the issuer is unknown.
        tracing::debug!(errors = ?found.errors, "the system trusts no certificate authorities");
    }
    roots
}

fn is_set(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}
