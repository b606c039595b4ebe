//! Connections: one shared manager for commands, a dedicated one for each blocking reader.

mod connector;
mod exclusive;
mod inputs;
mod probe;
mod settings;

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use redis::{
    Cmd, FromRedisValue, Pipeline, RedisResult, ScriptInvocation, Value,
    aio::{ConnectionManager, MultiplexedConnection},
};

pub use connector::{Connector, ConnectorError};
pub(crate) use exclusive::ExclusiveConnection;
pub(crate) use probe::Objection;
pub use settings::{ConnectSettings, TlsFiles};

use crate::error::{Error, ErrorKind};

/// This many refusals in a row, whatever their kind, mean that the manager may be stuck on the one that its
/// reconnect met.
const REFUSALS_UNTIL_REBUILD: u32 = 10;

/// A connection for ordinary, non-blocking commands: reconnects by itself, cheap to clone.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
    /// Whether a missing group is an answer like any other here.
    group_may_be_absent: bool,
}

struct Shared {
    connector: Connector,
    /// Whether failures count as failed operations.
    counts: bool,
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
        write!(f, "Connection({})", self.shared.connector.address())
    }
}

impl Connection {
    fn open(
        connector: Connector,
        counts: bool,
        response_timeout: Duration,
        timeouts_until_rebuild: u32,
    ) -> Result<Self, Error> {
        let target = connector.target().version;
        let manager = connector.manager(response_timeout).map_err(|e| Error::new("connect", e))?;
        let shared = Arc::new(Shared {
            connector,
            counts,
            response_timeout,
            timeouts_until_rebuild,
            timeouts: AtomicU32::new(0),
            refusals: AtomicU32::new(0),
            slot: RwLock::new(Slot { manager, generation: 0, target }),
        });
        Ok(Self { shared, group_may_be_absent: false })
    }

    /// The same connection, for a stream whose group need not exist yet: that it does not is no failed operation.
    pub(crate) fn where_group_may_be_absent(&self) -> Self {
        Self { group_may_be_absent: true, ..self.clone() }
    }

    /// `host:port` of the server, for messages.
    pub fn address(&self) -> String {
        self.shared.connector.address()
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
        let connected = self.shared.connector.exclusive(self.shared.response_timeout).await;
        connected.map_err(|error| Error::new(operation, error))
    }

    fn current(&self) -> (ConnectionManager, u64) {
        let (target, generation) = {
            let slot = self.shared.slot.read().unwrap_or_else(PoisonError::into_inner);
            (slot.target, slot.generation)
        };
        // Another connection was refused, and the credentials are known to have changed.
        if target != self.shared.connector.target().version {
            self.rebuild(generation);
        }
        let slot = self.shared.slot.read().unwrap_or_else(PoisonError::into_inner);
        (slot.manager.clone(), slot.generation)
    }

    async fn settle<T>(
        &self,
        operation: &'static str,
        generation: u64,
        result: RedisResult<T>,
    ) -> Result<T, Error> {
        let shared = &*self.shared;
        let error = match result {
            Ok(value) => {
                shared.timeouts.store(0, Ordering::Relaxed);
                shared.refusals.store(0, Ordering::Relaxed);
                shared.connector.understood();
                return Ok(value);
            }
            Err(error) => Error::new(operation, error),
        };
        let is_expected = self.group_may_be_absent && error.kind() == ErrorKind::NoGroup;
        if is_expected || error.is_unknown_script() {
            return Err(error);
        }
        let error = match shared.connector.objection(error.kind()).await {
            Some(objection) => error.because_of(objection),
            None => error,
        };
        if shared.counts && !error.is_answer() {
            shared.connector.count(error.kind());
        }
        let rebuild = match error.kind() {
            ErrorKind::Timeout => {
                shared.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= shared.timeouts_until_rebuild
            }
            ErrorKind::Auth | ErrorKind::Tls => {
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
        let target = self.shared.connector.target().version;
        let Ok(manager) = self.shared.connector.manager(self.shared.response_timeout) else { return };
        let mut slot = self.shared.slot.write().unwrap_or_else(PoisonError::into_inner);
        if slot.generation == failed_generation {
            *slot = Slot { manager, generation: failed_generation + 1, target };
            self.shared.timeouts.store(0, Ordering::Relaxed);
            self.shared.refusals.store(0, Ordering::Relaxed);
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
