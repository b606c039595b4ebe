//! [`Inputs`]: what a client is made of, as the files have it at present.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisResult,
    TlsCertificates,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};

use super::ConnectSettings;

/// Detects a dead peer in about half a minute where nothing is being sent.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Breaks a half-open connection whose sent data nobody acknowledges (`TCP_USER_TIMEOUT`, RFC 5482).
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {cause}", path.display())]
pub(super) struct Unreadable {
    path: PathBuf,
    cause: io::Error,
}

/// What a client is made of.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Inputs {
    url: String,
    username: String,
    password: String,
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl Inputs {
    /// As at the start: texts as they are in the settings, certificates from their files.
    pub(super) fn first(settings: &ConnectSettings) -> Result<Self, Unreadable> {
        let ConnectSettings { url, username, password, tls, .. } = settings;
        let bytes =
            |path: &Option<PathBuf>| path.as_deref().map(|path| read(path, fs::read(path))).transpose();
        Ok(Self {
            url: url.clone(),
            username: username.clone(),
            password: password.clone(),
            ca: bytes(&tls.ca)?,
            cert: bytes(&tls.cert)?,
            key: bytes(&tls.key)?,
        })
    }

    /// As the files have it now.
    pub(super) fn read_again(settings: &ConnectSettings) -> Result<Self, Unreadable> {
        let again = |text: &mut String, file: &Option<PathBuf>| -> Result<(), Unreadable> {
            if let Some(path) = file {
                let read = read(path, fs::read_to_string(path))?;
                // One end of line, as when it was read first.
                let line = read.strip_suffix('\n').unwrap_or(&read);
                line.strip_suffix('\r').unwrap_or(line).clone_into(text);
            }
            Ok(())
        };
        let mut inputs = Self::first(settings)?;
        again(&mut inputs.url, &settings.url_file)?;
        again(&mut inputs.username, &settings.username_file)?;
        again(&mut inputs.password, &settings.password_file)?;
        Ok(inputs)
    }

    /// A client; nothing is connected yet.
    pub(super) fn client(&self) -> RedisResult<Client> {
        let refuse = |why: &'static str| Err((ErrorKind::InvalidClientConfig, why).into());
        let info: ConnectionInfo = self.url.as_str().into_connection_info()?;
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL));
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(USER_TIMEOUT);
        let mut login = info.redis_settings().clone();
        if !self.username.is_empty() {
            login = login.set_username(&self.username);
        }
        if !self.password.is_empty() {
            login = login.set_password(&self.password);
        }
        let info = info.set_tcp_settings(tcp).set_redis_settings(login);
        let has_files = self.ca.is_some() || self.cert.is_some() || self.key.is_some();
        match info.addr() {
            ConnectionAddr::TcpTls { insecure: true, .. } => {
                refuse("certificates are always verified; leave #insecure out, and name a private authority")
            }
            ConnectionAddr::TcpTls { .. } if has_files => Client::build_with_tls(info, self.certificates()?),
            ConnectionAddr::TcpTls { .. } => Client::open(info),
            _ if has_files => refuse("certificates are given, but the URL does not ask for TLS (rediss://)"),
            _ => Client::open(info),
        }
    }

    fn certificates(&self) -> RedisResult<TlsCertificates> {
        let client_tls = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                Some(ClientTlsConfig { client_cert: cert.clone(), client_key: key.clone() })
            }
            (None, None) => None,
            _ => {
                let why = "a client certificate needs its private key, and the other way round";
                return Err((ErrorKind::InvalidClientConfig, why).into());
            }
        };
        let is_empty = |pem: &Vec<u8>| !String::from_utf8_lossy(pem).contains("-----BEGIN CERTIFICATE-----");
        if self.ca.as_ref().is_some_and(is_empty) {
            let why = "the file of the authorities to trust holds no certificate in PEM form";
            return Err((ErrorKind::InvalidClientConfig, why).into());
        }
        Ok(TlsCertificates { client_tls, root_cert: self.ca.clone() })
    }
}

fn read<T>(path: &Path, read: io::Result<T>) -> Result<T, Unreadable> {
    read.map_err(|cause| Unreadable { path: path.to_owned(), cause })
}
