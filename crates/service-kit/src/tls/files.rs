//! Reads PEM files, and says what is wrong with them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    sign::CertifiedKey,
};

/// A file larger than this is no certificate, key or bundle of CAs, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Why files cannot be used for TLS; names the setting and the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{key}: cannot read {path}: {cause}")]
    Unreadable {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A file holds nothing of what it should, or something broken.
    #[error("{key}: {path} {problem}; it must hold {expected} in PEM form")]
    Unusable {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// The key is not that of the certificate.
    #[error(
        "{cert_key} and {key_key}: the private key in {key} does not belong to the certificate in {cert}"
    )]
    Mismatch {
        /// The setting of the certificate.
        cert_key: &'static str,
        /// The setting of the key.
        key_key: &'static str,
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// rustls does not take them.
    #[error("TLS cannot be set up: {0}")]
    Refused(#[from] rustls::Error),
}

/// A file and the setting that names it.
#[derive(Debug, Clone)]
pub(crate) struct PemFile {
    pub(crate) key: &'static str,
    pub(crate) path: PathBuf,
}

impl PemFile {
    pub(crate) fn new(key: &'static str, path: &Path) -> Self {
        Self { key, path: path.to_owned() }
    }

    fn read(&self) -> Result<Vec<u8>, TlsError> {
        let unreadable = |cause| TlsError::Unreadable { key: self.key, path: self.path.clone(), cause };
        let length = fs::metadata(&self.path).map_err(unreadable)?.len();
        if length > FILE_BYTES_MAX {
            return Err(unreadable(io::Error::other("it is larger than 4 MiB")));
        }
        fs::read(&self.path).map_err(unreadable)
    }

    fn unusable(&self, problem: impl Into<String>, expected: &'static str) -> TlsError {
        TlsError::Unusable { key: self.key, path: self.path.clone(), problem: problem.into(), expected }
    }

    /// All certificates of the file, at least one.
    fn certificates(&self, expected: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let text = self.read()?;
        let parsed: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
        match parsed {
            Ok(certificates) if certificates.is_empty() => {
                Err(self.unusable("holds no certificate", expected))
            }
            Ok(certificates) => Ok(certificates),
            Err(error) => Err(self.unusable(format!("cannot be read as PEM: {error}"), expected)),
        }
    }

    /// The authorities of the file.
    pub(crate) fn roots(&self) -> Result<RootCertStore, TlsError> {
        const EXPECTED: &str = "the certificates of the authorities to trust";
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates(EXPECTED)? {
            roots
                .add(certificate)
                .map_err(|error| self.unusable(format!("holds a bad certificate: {error}"), EXPECTED))?;
        }
        Ok(roots)
    }
}

/// A certificate's chain and its key.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) cert: PemFile,
    pub(crate) key: PemFile,
}

impl Pair {
    /// Reads the pair and checks that its halves belong together.
    pub(crate) fn read(&self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
        const EXPECTED: &str = "a private key (PKCS#8, PKCS#1 or SEC1)";
        let chain = self.cert.certificates("a certificate, then those that lead to its authority")?;
        let text = self.key.read()?;
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
            pem::Error::NoItemsFound => {
                self.key.unusable("holds no private key, or an encrypted one", EXPECTED)
            }
            // The error's own words might show a line of the key.
            _ => self.key.unusable("cannot be read as PEM", EXPECTED),
        })?;
        match CertifiedKey::from_der(chain, key, provider) {
            Ok(pair) => Ok(Arc::new(pair)),
            Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Mismatch {
                cert_key: self.cert.key,
                key_key: self.key.key,
                cert: self.cert.path.clone(),
                key: self.key.path.clone(),
            }),
            Err(error @ rustls::Error::InvalidCertificate(_)) => {
                Err(self.cert.unusable(format!("holds a bad certificate: {error}"), "a certificate"))
            }
            Err(error) => Err(self.key.unusable(format!("cannot be used: {error}"), EXPECTED)),
        }
    }

    /// Warns if anybody on this machine can read the key.
    pub(crate) fn warn_if_open(&self) {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&self.key.path).map(|about| about.permissions().mode());
            if mode.is_ok_and(|mode| mode & 0o004 != 0) {
                tracing::warn!(
                    setting = self.key.key, path = %self.key.path.display(),
                    "every user of this machine can read the private key; chmod o-rwx it"
                );
            }
        }
    }
}

/// What tells one state of some files from another: when each was changed, how long it is, and which one it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<Option<(Option<std::time::SystemTime>, u64, u64)>>);

impl Stamp {
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = &'a PemFile>) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;
        let stamp = |file: &PemFile| {
            let about = fs::metadata(&file.path).ok()?;
            #[cfg(unix)]
            let node = about.ino();
            #[cfg(not(unix))]
            let node = 0;
            Some((about.modified().ok(), about.len(), node))
        };
        Self(files.into_iter().map(stamp).collect())
    }
}
