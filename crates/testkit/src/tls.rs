//! Certificates of a test's own: an authority, and what it signs.

#![expect(clippy::missing_panics_doc, reason = "a panic is how a test's helper reports a failure")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// Makes ring the provider of TLS in this process, as the programs do first thing: HTTP clients want one, also for
/// requests in the clear. Starting a [`RedisServer`](crate::RedisServer) does it as well.
pub fn install_tls_provider() {
    // It fails if there is one already, which is then the same.
    _ = rustls::crypto::ring::default_provider().install_default();
}

/// A certificate authority.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its private key, in PEM form.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub cert: String,
    /// The private key.
    pub key: String,
}

/// Where an [`Identity`] was written to.
#[derive(Debug, Clone)]
pub struct IdentityFiles {
    /// The certificate.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Authority {
    /// A new authority by this name.
    ///
    /// # Panics
    ///
    /// If no certificate can be made, here as below.
    pub fn new(name: &str) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority's certificate"))
    }

    /// The authority's own certificate, in PEM form.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Writes the authority's certificate to `<dir>/<name>.pem`.
    pub fn write(&self, dir: &Path, name: &str) -> PathBuf {
        let path = dir.join(format!("{name}.pem"));
        fs::write(&path, self.pem()).expect("the directory can be written to");
        path
    }

    /// A certificate for these names and addresses, which ends with the year 2099.
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.issue_until(names, 2100)
    }

    /// The same, valid until the first day of `year`.
    pub fn issue_until(&self, names: &[&str], year: i32) -> Identity {
        let mut params = named("orderflow test", names);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.0).expect("a certificate");
        Identity { cert: cert.pem(), key: key.serialize_pem() }
    }
}

impl Identity {
    /// Writes both to `<dir>/<name>.pem` and `<dir>/<name>.key`, which only their owner may read.
    pub fn write(&self, dir: &Path, name: &str) -> IdentityFiles {
        let files =
            IdentityFiles { cert: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) };
        fs::write(&files.key, &self.key).expect("the directory can be written to");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).expect("it is ours");
        }
        fs::write(&files.cert, &self.cert).expect("the directory can be written to");
        files
    }
}

fn named(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names of hosts");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
