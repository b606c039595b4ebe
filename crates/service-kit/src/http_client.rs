//! HTTP clients of our own, which trust and show what the section `tls` says.

use std::error::Error;

use reqwest::ClientBuilder;

use crate::{
    config::Tls,
    tls::{TlsError, client_config, pinned_config},
};

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// HTTP cannot be set up.
    #[error("cannot set up HTTP")]
    Http(#[from] reqwest::Error),
}

/// A client for `http` and `https`.
pub fn builder(settings: &Tls) -> Result<ClientBuilder, TlsError> {
    Ok(ClientBuilder::new().tls_backend_preconfigured(client_config(settings)?))
}

/// A client for the ops ports of this machine's own services, which share their settings with us: it takes their
/// certificate and no other, whatever name it is for.
pub fn builder_for_own_ops(settings: &Tls) -> Result<ClientBuilder, TlsError> {
    let config = if settings.ops { pinned_config(settings)? } else { client_config(settings)? };
    // A proxy in the environment is seldom meant for this machine.
    Ok(ClientBuilder::new().tls_backend_preconfigured(config).no_proxy())
}

/// The last cause of a failed request is what the system said; the ones before it repeat the URL.
pub fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
