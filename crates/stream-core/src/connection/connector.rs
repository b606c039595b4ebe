//! [`Connector`]: how connections to one server are made, and remade when its URL's file has changed.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use prometheus::{IntCounterVec, Opts};
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, RedisError, RedisResult,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};

use super::{BlockingConnection, Connection};
use crate::{
    admission::Admission,
    error::{Error, ErrorKind},
};

/// How to reach Redis.
#[derive(Clone)]
pub struct ConnectSettings {
    /// `redis://[user:password@]host:port/[db]`.
    pub url: String,
    /// The file that the URL came from, if it did. It is read again whenever the server refuses the credentials,
    /// so that a rotated password is picked up.
    pub url_file: Option<PathBuf>,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// How long an ordinary command may take.
    pub response_timeout: Duration,
    /// What a blocking read may take beyond its BLOCK. At least 5 s: some servers restart the BLOCK
    /// timer when another consumer takes the entry.
    pub blocking_margin: Duration,
}

impl Default for ConnectSettings {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379/".to_owned(),
            url_file: None,
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

/// A URL that names no Redis server.
#[derive(Debug, thiserror::Error)]
#[error("the Redis URL cannot be used: {0}; expected redis://[user:password@]host[:port][/db]")]
pub struct ConnectorError(String);

/// Makes connections to one Redis server. Cheap to clone; making one does not connect.
#[derive(Clone)]
pub struct Connector(Arc<Source>);

struct Source {
    /// Replaced when the file of the URL has another one.
    target: RwLock<Target>,
    settings: ConnectSettings,
    errors: IntCounterVec,
    admission: Admission,
}

pub(super) struct Target {
    client: Client,
    url: String,
    /// Counts replacements, so that every connection follows.
    pub(super) version: u64,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({})", self.address())
    }
}

/// Detects a dead peer in about half a minute where nothing is being sent.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Breaks a half-open connection whose sent data nobody acknowledges (`TCP_USER_TIMEOUT`, RFC 5482).
const USER_TIMEOUT: Duration = Duration::from_secs(10);

impl Connector {
    /// Checks the URL. Nothing is connected yet.
    pub fn new(settings: ConnectSettings) -> Result<Self, ConnectorError> {
        let describe = |error: RedisError| ConnectorError(error.to_string());
        let client = client(&settings.url).map_err(describe)?;
        let opts = Opts::new("redis_errors_total", "Failed Redis operations of the process by kind");
        let errors = IntCounterVec::new(opts, &["kind"]).map_err(|e| ConnectorError(e.to_string()))?;
        for kind in ErrorKind::ALL {
            errors.with_label_values(&[kind.label()]);
        }
        let target = RwLock::new(Target { client, url: settings.url.clone(), version: 0 });
        Ok(Self(Arc::new(Source { target, settings, errors, admission: Admission::default() })))
    }

    /// `host:port` of the server, for messages; never the password.
    pub fn address(&self) -> String {
        self.client().get_connection_info().addr().to_string()
    }

    /// What failed over all connections made by this connector: `redis_errors_total` by [kind](ErrorKind), to be
    /// registered. Every series exists.
    pub fn errors(&self) -> IntCounterVec {
        self.0.errors.clone()
    }

    /// Whether the server has no room for another connection.
    pub(super) async fn is_full(&self) -> bool {
        let client = self.client();
        self.0.admission.is_refused(client.get_connection_info().addr()).await
    }

    fn client(&self) -> Client {
        self.target().client.clone()
    }

    pub(super) fn target(&self) -> RwLockReadGuard<'_, Target> {
        self.0.target.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the URL's file again, if it came from one: its password may have been rotated. What cannot be read or
    /// used changes nothing; the file may be half-written, and the next refusal reads it once more.
    pub(super) fn refresh(&self) {
        let Some(path) = &self.0.settings.url_file else { return };
        let url = match std::fs::read_to_string(path) {
            Ok(text) => text.trim_end_matches(['\r', '\n']).to_owned(),
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "the Redis URL's file cannot be read again");
                return;
            }
        };
        let mut target = self.0.target.write().unwrap_or_else(PoisonError::into_inner);
        if target.url == url {
            return;
        }
        if let Ok(client) = client(&url) {
            tracing::info!(path = %path.display(), "the Redis URL's file has changed; using it");
            *target = Target { client, url, version: target.version + 1 };
        } else {
            // The error's text might show the password.
            tracing::debug!(path = %path.display(), "the Redis URL's file holds no usable URL now");
        }
    }

    /// A connection for ordinary commands. Clones share it; it connects at its first command.
    pub fn commands(&self) -> Result<Connection, Error> {
        Connection::open(self.clone(), true, self.0.settings.response_timeout, 3)
    }

    /// A connection for trying what the server may well refuse, such as [`Capabilities::probe`](crate::Capabilities::probe)
    /// does: what fails over it is not among the [errors](Self::errors).
    pub fn trials(&self) -> Result<Connection, Error> {
        Connection::open(self.clone(), false, self.0.settings.response_timeout, 3)
    }

    /// A connection for one blocking reader, with a response timeout longer than its `block`.
    pub fn blocking(&self, block: Duration) -> Result<BlockingConnection, Error> {
        // A read that timed out may still be parked at the server and would swallow the next entry:
        // the socket has to go at once.
        let timeout = block + self.0.settings.blocking_margin;
        Connection::open(self.clone(), true, timeout, 1).map(BlockingConnection)
    }

    /// A connection of its own, which never reconnects.
    pub(super) async fn exclusive(&self, response_timeout: Duration) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.0.settings.connect_timeout))
            .set_response_timeout(Some(response_timeout));
        self.client().get_multiplexed_async_connection_with_config(&config).await
    }

    /// How long an ordinary command may take.
    pub(super) fn response_timeout(&self) -> Duration {
        self.0.settings.response_timeout
    }

    /// Counts a failed operation.
    pub(super) fn count(&self, kind: ErrorKind) {
        self.0.errors.with_label_values(&[kind.label()]).inc();
    }

    pub(super) fn manager(&self, response_timeout: Duration) -> RedisResult<ConnectionManager> {
        // Few retries: a command fails soon, with the reason, and the caller's own backoff decides.
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(self.0.settings.connect_timeout))
            .set_response_timeout(Some(response_timeout))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(50))
            .set_pipeline_buffer_size(512);
        ConnectionManager::new_lazy_with_config(self.client(), config)
    }
}

fn client(url: &str) -> RedisResult<Client> {
    let info: ConnectionInfo = url.into_connection_info()?;
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL));
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(USER_TIMEOUT);
    Client::open(info.set_tcp_settings(tcp))
}
