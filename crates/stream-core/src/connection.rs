//! Connections: one shared manager for commands, a dedicated one for each blocking reader.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use prometheus::{IntCounterVec, Opts};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, FromRedisValue, IntoConnectionInfo, Pipeline,
    RedisError, RedisResult, ScriptInvocation, Value,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};

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

struct Target {
    client: Client,
    url: String,
    /// Counts replacements, so that every connection follows.
    version: u64,
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
/// This many refusals in a row, whatever their kind, mean that the manager may be stuck on the one that its
/// reconnect met.
const REFUSALS_UNTIL_REBUILD: u32 = 10;

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
    async fn is_full(&self) -> bool {
        let client = self.client();
        self.0.admission.is_refused(client.get_connection_info().addr()).await
    }

    fn client(&self) -> Client {
        self.target().client.clone()
    }

    fn target(&self) -> RwLockReadGuard<'_, Target> {
        self.0.target.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the URL's file again, if it came from one: its password may have been rotated. What cannot be read or
    /// used changes nothing; the file may be half-written, and the next refusal reads it once more.
    fn refresh(&self) {
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
        Connection::open(self.clone(), self.0.settings.response_timeout, 3)
    }

    /// A connection for one blocking reader, with a response timeout longer than its `block`.
    pub fn blocking(&self, block: Duration) -> Result<BlockingConnection, Error> {
        // A read that timed out may still be parked at the server and would swallow the next entry:
        // the socket has to go at once.
        Connection::open(self.clone(), block + self.0.settings.blocking_margin, 1).map(BlockingConnection)
    }

    fn manager(&self, response_timeout: Duration) -> RedisResult<ConnectionManager> {
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

/// A connection for ordinary, non-blocking commands: reconnects by itself, cheap to clone.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    connector: Connector,
    response_timeout: Duration,
    /// This many timeouts in a row mean that the connection is dead although nothing said so.
    timeouts_until_rebuild: u32,
    timeouts: AtomicU32,
    refusals: AtomicU32,
    slot: RwLock<Slot>,
}

struct Slot {
    manager: ConnectionManager,
    /// Counts rebuilds, so that many callers failing on one manager replace it once.
    generation: u64,
    /// The version of the target that the manager leads to.
    target: u64,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.0.connector.address())
    }
}

impl Connection {
    fn open(
        connector: Connector,
        response_timeout: Duration,
        timeouts_until_rebuild: u32,
    ) -> Result<Self, Error> {
        let target = connector.target().version;
        let manager = connector.manager(response_timeout).map_err(|e| Error::new("connect", e))?;
        Ok(Self(Arc::new(Shared {
            connector,
            response_timeout,
            timeouts_until_rebuild,
            timeouts: AtomicU32::new(0),
            refusals: AtomicU32::new(0),
            slot: RwLock::new(Slot { manager, generation: 0, target }),
        })))
    }

    /// `host:port` of the server, for messages.
    pub fn address(&self) -> String {
        self.0.connector.address()
    }

    /// Asks the server for a sign of life (PING).
    pub async fn ping(&self) -> Result<(), Error> {
        self.query::<Value>("PING", &redis::cmd("PING")).await.map(drop)
    }

    /// Runs one command.
    pub(crate) async fn query<T: FromRedisValue>(
        &self,
        operation: &'static str,
        cmd: &Cmd,
    ) -> Result<T, Error> {
        let (mut manager, generation) = self.current();
        let result = cmd.query_async(&mut manager).await;
        self.settle(operation, generation, result).await
    }

    /// Runs a pipeline built with `ignore_errors`: each command has a result of its own. The outer error is
    /// that of the connection, and everybody's.
    pub(crate) async fn batch<T: FromRedisValue>(
        &self,
        operation: &'static str,
        pipeline: &Pipeline,
    ) -> Result<Vec<Result<T, Error>>, Error> {
        let (mut manager, generation) = self.current();
        let reply: RedisResult<Vec<RedisResult<T>>> = pipeline.query_async(&mut manager).await;
        let results = self.settle(operation, generation, reply).await?;
        // A server that refuses each command (READONLY after a failover) is as useless as one that is gone.
        let mut settled = Vec::with_capacity(results.len());
        for result in results {
            settled.push(self.settle(operation, generation, result).await);
        }
        Ok(settled)
    }

    /// Runs a transaction.
    pub(crate) async fn pipeline<T: FromRedisValue>(
        &self,
        operation: &'static str,
        pipeline: &Pipeline,
    ) -> Result<T, Error> {
        let (mut manager, generation) = self.current();
        let result = pipeline.query_async(&mut manager).await;
        self.settle(operation, generation, result).await
    }

    /// Runs a script by its hash, loading it where the server does not know it.
    pub(crate) async fn invoke<T: FromRedisValue>(
        &self,
        operation: &'static str,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, Error> {
        let (mut manager, generation) = self.current();
        let result = script.invoke_async(&mut manager).await;
        self.settle(operation, generation, result).await
    }

    /// A connection of its own for one optimistic transaction (WATCH … EXEC). It never reconnects by itself: the
    /// new connection would watch nothing.
    pub(crate) async fn exclusive(&self, operation: &'static str) -> Result<MultiplexedConnection, Error> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.0.connector.0.settings.connect_timeout))
            .set_response_timeout(Some(self.0.response_timeout));
        let connected = self.0.connector.client().get_multiplexed_async_connection_with_config(&config).await;
        connected.map_err(|error| Error::new(operation, error))
    }

    fn current(&self) -> (ConnectionManager, u64) {
        let (target, generation) = {
            let slot = self.0.slot.read().unwrap_or_else(PoisonError::into_inner);
            (slot.target, slot.generation)
        };
        // Another connection was refused, and the credentials are known to have changed.
        if target != self.0.connector.target().version {
            self.rebuild(generation);
        }
        let slot = self.0.slot.read().unwrap_or_else(PoisonError::into_inner);
        (slot.manager.clone(), slot.generation)
    }

    async fn settle<T>(
        &self,
        operation: &'static str,
        generation: u64,
        result: RedisResult<T>,
    ) -> Result<T, Error> {
        let shared = &*self.0;
        let error = match result {
            Ok(value) => {
                shared.timeouts.store(0, Ordering::Relaxed);
                shared.refusals.store(0, Ordering::Relaxed);
                return Ok(value);
            }
            Err(error) => Error::new(operation, error),
        };
        let error = if error.kind() == ErrorKind::Connection && shared.connector.is_full().await {
            error.for_want_of_room()
        } else {
            error
        };
        if !error.is_answer() {
            shared.connector.0.errors.with_label_values(&[error.kind().label()]).inc();
        }
        let rebuild = match error.kind() {
            ErrorKind::Timeout => {
                shared.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= shared.timeouts_until_rebuild
            }
            ErrorKind::Auth => {
                shared.connector.refresh();
                true
            }
            // A manager whose reconnect failed with one of these answers with it for ever
            // (redis-rs 1.8), and after a failover its address may lead to another server by now.
            ErrorKind::MaxClients | ErrorKind::Loading | ErrorKind::ReadOnly => true,
            ErrorKind::Connection => false,
            _ => shared.refusals.fetch_add(1, Ordering::Relaxed) + 1 >= REFUSALS_UNTIL_REBUILD,
        };
        if rebuild {
            self.rebuild(generation);
        }
        Err(error)
    }

    /// Replaces the manager, unless it was replaced meanwhile; the new one connects at its next command.
    fn rebuild(&self, failed_generation: u64) {
        let target = self.0.connector.target().version;
        let Ok(manager) = self.0.connector.manager(self.0.response_timeout) else { return };
        let mut slot = self.0.slot.write().unwrap_or_else(PoisonError::into_inner);
        if slot.generation == failed_generation {
            *slot = Slot { manager, generation: failed_generation + 1, target };
            self.0.timeouts.store(0, Ordering::Relaxed);
            self.0.refusals.store(0, Ordering::Relaxed);
        }
    }
}

/// The connection of one blocking reader: never cloned, so that a BLOCK delays nobody else.
#[derive(Debug)]
pub struct BlockingConnection(Connection);

impl BlockingConnection {
    /// Runs one command; it may block at the server for as long as the connection was made for.
    pub(crate) async fn query<T: FromRedisValue>(
        &mut self,
        operation: &'static str,
        cmd: &Cmd,
    ) -> Result<T, Error> {
        self.0.query(operation, cmd).await
    }
}
