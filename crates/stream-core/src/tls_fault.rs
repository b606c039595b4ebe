//! [`TlsFault`]: why a TLS connection to Redis did not come about, and what to do about it.

use std::{error::Error as StdError, fmt, io, sync::Arc};

use redis::{ErrorKind, RedisError};
use rustls::{AlertDescription, CertificateError, Error as RustlsError};

use crate::connection::Objection;

/// What is wrong between us and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFault {
    /// Nobody whom we trust has signed the server's certificate.
    UnknownIssuer,
    /// The server's certificate has ended.
    Expired,
    /// The server's certificate is not valid yet, or a clock is wrong.
    NotValidYet,
    /// The server's certificate is for another name than that in the URL.
    WrongName,
    /// The server's certificate cannot be used for another reason.
    BadCertificate,
    /// The server asks for a client certificate, and we have none.
    ClientCertificateRequired,
    /// The server does not accept our client certificate.
    ClientCertificateRefused,
    /// Our client certificate and its key do not belong together, or cannot be used.
    ClientCertificateUnusable,
    /// The server does not speak TLS.
    SpeaksNoTls,
    /// The server speaks TLS alone, and the URL does not say so.
    WantsTls,
    /// Anything else, such as no version in common.
    Handshake,
}

impl TlsFault {
    /// The fault that an error of redis-rs is, if it is one of TLS.
    pub(crate) fn of(error: &RedisError) -> Option<Self> {
        // The URL was looked at long before: what is left to be wrong is the pair.
        if error.kind() == ErrorKind::InvalidClientConfig {
            return Some(Self::ClientCertificateUnusable);
        }
        let source = error.source()?.downcast_ref::<Arc<dyn StdError + Send + Sync>>()?;
        let io = source.downcast_ref::<io::Error>()?;
        io.get_ref()?.downcast_ref::<RustlsError>().map(Self::of_rustls)
    }

    fn of_rustls(error: &RustlsError) -> Self {
        match error {
            RustlsError::InvalidCertificate(problem) => match problem {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::NotValidYet
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Self::WrongName
                }
                _ => Self::BadCertificate,
            },
            RustlsError::AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired => Self::ClientCertificateRequired,
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied => Self::ClientCertificateRefused,
                _ => Self::Handshake,
            },
            // What it says is no TLS record.
            RustlsError::InvalidMessage(_) => Self::SpeaksNoTls,
            _ => Self::Handshake,
        }
    }

    /// Whether it ends a handshake because of a certificate: no command is served before those are accepted. Others may
    /// end an established connection as well.
    pub(crate) fn is_of_a_certificate(self) -> bool {
        !matches!(self, Self::SpeaksNoTls | Self::WantsTls | Self::Handshake)
    }

    pub(crate) fn of_objection(objection: Objection) -> Option<Self> {
        match objection {
            Objection::Full => None,
            Objection::WantsTls => Some(Self::WantsTls),
            Objection::SpeaksNoTls => Some(Self::SpeaksNoTls),
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => {
                "no trusted authority has signed the server's certificate; set redis.tls_ca to the file of its authority"
            }
            Self::Expired => "the server's certificate has ended; renew it at the server, or look at this machine's clock",
            Self::NotValidYet => {
                "the server's certificate is not valid yet; look at the clocks of this machine and of its issuer"
            }
            Self::WrongName => {
                "the server's certificate is for another name than the one in redis.url; connect by a name that it has, or \
                 add this one to it"
            }
            Self::BadCertificate => "the server's certificate cannot be used; look at how it was made",
            Self::ClientCertificateRequired => {
                "the server asks for a client certificate; set redis.tls_cert and redis.tls_key"
            }
            Self::ClientCertificateRefused => {
                "the server does not accept the client certificate; look at whether redis.tls_cert is from an authority \
                 that it trusts and has not ended"
            }
            Self::ClientCertificateUnusable => {
                "redis.tls_cert and redis.tls_key do not belong together; put the right pair there"
            }
            Self::SpeaksNoTls => "the server does not speak TLS there; use its TLS port, or redis:// instead of rediss://",
            Self::WantsTls => "the server speaks TLS there; use rediss:// instead of redis:// in redis.url",
            Self::Handshake => "the two sides do not agree on how to speak TLS; 1.2 or later is needed",
        })
    }
}
