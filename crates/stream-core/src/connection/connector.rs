//! [`Connector`]: how connections to one server are made, and remade when its password or certificates have changed.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use prometheus::{IntCounterVec, Opts};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, RedisResult,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
};

use super::{
    BlockingConnection, ConnectSettings, Connection,
    inputs::Inputs,
    probe::{Objection, Probe},
};
use crate::error::{Error, ErrorKind};

/// Settings that lead to no Redis server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectorError {
    /// The URL, or what goes with it, cannot be used.
    #[error(
        "the Redis URL cannot be used: {0}; expected redis://[user:password@]host[:port][/db], or rediss://… for TLS"
    )]
    Unusable(String),
    /// A certificate or key cannot be read.
    #[error("TLS to Redis: {0}")]
    Unreadable(String),
    /// The metrics cannot be made.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

/// Makes connections to one Redis server. Cheap to clone; making one does not connect.
#[derive(Clone)]
pub struct Connector(Arc<Source>);

struct Source {
    /// Replaced when files have changed.
    target: RwLock<Target>,
    settings: ConnectSettings,
    errors: IntCounterVec,
    probe: Probe,
}

pub(super) struct Target {
    client: Client,
    inputs: Inputs,
    /// Counts replacements, so that every connection follows.
    pub(super) version: u64,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({})", self.address())
    }
}

impl Connector {
    /// Checks the URL and reads the certificates. Nothing is connected yet.
    pub fn new(settings: ConnectSettings) -> Result<Self, ConnectorError> {
        let inputs =
            Inputs::first(&settings).map_err(|error| ConnectorError::Unreadable(error.to_string()))?;
        let client = inputs.client().map_err(|error| ConnectorError::Unusable(error.to_string()))?;
        let opts = Opts::new("redis_errors_total", "Failed Redis operations of the process by kind");
        let errors = IntCounterVec::new(opts, &["kind"])?;
        for kind in ErrorKind::ALL {
            errors.with_label_values(&[kind.label()]);
        }
        let target = RwLock::new(Target { client, inputs, version: 0 });
        Ok(Self(Arc::new(Source { target, settings, errors, probe: Probe::default() })))
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

    /// The server has answered a command.
    pub(super) fn understood(&self) {
        self.0.probe.understood();
    }

    /// What the server has against connections that fail in this way, if it can be found out.
    pub(super) async fn objection(&self, kind: ErrorKind) -> Option<Objection> {
        let client = self.client();
        let address = client.get_connection_info().addr();
        let worth_asking = match kind {
            ErrorKind::Connection => true,
            // A port in the clear waits for the rest of what it takes for a command.
            ErrorKind::Timeout => matches!(address, ConnectionAddr::TcpTls { .. }),
            _ => false,
        };
        if worth_asking { self.0.probe.objection(address).await } else { None }
    }

    fn client(&self) -> Client {
        self.target().client.clone()
    }

    pub(super) fn target(&self) -> RwLockReadGuard<'_, Target> {
        self.0.target.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the files again: a password or a certificate may have been rotated. What cannot be read or used changes
    /// nothing; a file may be half-written, and the next refusal reads it once more.
    pub(super) fn refresh(&self) {
        let inputs = match Inputs::read_again(&self.0.settings) {
            Ok(inputs) => inputs,
            Err(error) => {
                tracing::debug!(%error, "the credentials for Redis cannot be read again");
                return;
            }
        };
        let mut target = self.0.target.write().unwrap_or_else(PoisonError::into_inner);
        if target.inputs == inputs {
            return;
        }
        if let Ok(client) = inputs.client() {
            tracing::info!("URL, password or certificates for Redis have changed; using them");
            *target = Target { client, inputs, version: target.version + 1 };
        } else {
            // The error's text might show the password.
            tracing::debug!("what the files of the credentials for Redis hold now cannot be used");
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
