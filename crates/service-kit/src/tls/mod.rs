//! TLS through rustls, with ring as its only provider: the certificates of ports, renewed without a restart, and whom
//! our own clients trust.

mod certificates;
mod client;
mod files;
mod pinned;
mod validity;

pub(crate) use certificates::Certificates;
pub use client::client_config;
pub use files::TlsError;
pub(crate) use pinned::pinned_config;

/// Makes ring the provider of whatever speaks TLS in this process, libraries included. First thing in every `main`;
/// further calls change nothing.
pub fn install_provider() {
    // It fails if there is one already, and that one is ours: no other is compiled in.
    _ = rustls::crypto::ring::default_provider().install_default();
}

impl crate::config::Tls {
    /// How the public ports of services with these settings are asked: `https` or `http`.
    pub fn public_scheme(&self) -> &'static str {
        if self.cert.as_os_str().is_empty() { "http" } else { "https" }
    }

    /// The same for their ops ports.
    pub fn ops_scheme(&self) -> &'static str {
        if self.ops { self.public_scheme() } else { "http" }
    }
}
