//! [`DurableAppender`]: appends that count as done once they are on a replica or on disk (WAIT, WAITAOF).

use std::time::Duration;

use redis::{Cmd, Value};

use super::{
    AppendedBatch, EventStream, NewEntry,
    batch::{Batch, Link},
};
use crate::{
    Connector, Error,
    connection::ExclusiveConnection,
    reply::{take_int, take_string, take_tuple},
};

/// What must have happened to an entry, beyond the server having it in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// So many replicas have it (WAIT): it survives the loss of the server, if one of them takes over.
    Replicas(u32),
    /// The server has synced it to disk (WAITAOF): it survives a crash of the machine.
    Fsync,
}

/// Why a server cannot confirm what is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CannotConfirm {
    /// Fewer replicas are connected than shall have the entry.
    #[error("{connected} replicas are connected, {needed} are needed")]
    TooFewReplicas {
        /// Replicas that are online.
        connected: u32,
        /// Replicas that shall have it.
        needed: u32,
    },
    /// The server has no append-only file.
    #[error("the server's append-only file is off (appendonly no)")]
    NoAppendOnlyFile,
    /// The server does not know the command: Redis has WAITAOF since 7.2.
    #[error("the server does not know {0}")]
    UnknownCommand(&'static str),
    /// The user may not run the command.
    #[error("the user may not run {0}")]
    Denied(&'static str),
}

/// Why a batch was not begun: nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DurableError {
    /// The server cannot do what is asked.
    #[error(transparent)]
    CannotConfirm(#[from] CannotConfirm),
    /// It could not be asked whether it can.
    #[error(transparent)]
    NotAsked(#[from] Error),
}

/// What became of a batch, and whether it is as safe as was asked.
#[derive(Debug)]
pub struct DurableBatch {
    /// What became of each entry.
    pub batch: AppendedBatch,
    /// Whether everything that the batch has an ID for, repeated entries included, is where it shall be. If not, the
    /// entries are stored all the same, and may get there later.
    pub confirmed: bool,
}

/// Appends to one stream over a connection of its own, which WAIT may hold up for nobody else.
///
/// Appends and WAIT are one pipeline on a connection that never reconnects by itself: after a reconnect WAIT would
/// find nothing to wait for, and confirm it.
#[derive(Debug)]
pub struct DurableAppender {
    stream: EventStream,
    durability: Durability,
    connection: ExclusiveConnection,
}

impl DurableAppender {
    /// Connects at the first batch.
    pub const fn new(stream: EventStream, connector: Connector, durability: Durability) -> Self {
        Self { stream, durability, connection: ExclusiveConnection::new(connector) }
    }

    /// Like [`EventStream::append_batch_counted`], and waits up to `wait` (whole milliseconds, at least 1) until the
    /// entries are where they shall be. A repeated entry is waited for as well: its append may have had no such wish.
    pub async fn append_batch<'a, K: AsRef<[u8]>, V: AsRef<[u8]>, F: IntoIterator<Item = (K, V)>>(
        &mut self,
        entries: impl IntoIterator<Item = NewEntry<'a, F>>,
        wait: Duration,
    ) -> Result<DurableBatch, DurableError> {
        let batch = Batch::new(&self.stream, entries, true);
        self.check().await?;
        let wait = wait.max(Duration::from_millis(1));
        let confirm = self.durability.wait(wait);
        let mut link = Link::Own(&mut self.connection, wait);
        let (batch, waited) = batch.send(&mut link, Some(&confirm)).await;
        let is_reached =
            |reply: Result<Value, Error>| reply.is_ok_and(|reply| self.durability.is_reached(reply));
        let confirmed = !waited.is_empty() && waited.into_iter().all(is_reached);
        Ok(DurableBatch { batch, confirmed })
    }

    /// Whether the server can confirm at all. Waiting for nothing tells whether the command may be used.
    async fn check(&mut self) -> Result<(), DurableError> {
        let (section, wait) = match self.durability {
            Durability::Replicas(_) => ("replication", ["WAIT", "0", "1"].as_slice()),
            Durability::Fsync => ("persistence", ["WAITAOF", "0", "0", "1"].as_slice()),
        };
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors().cmd("INFO").arg(section);
        let mut nothing = Cmd::new();
        nothing.arg(wait);
        pipeline.add_command(nothing);
        let asked = self.connection.batch::<Value>("WAIT", &pipeline, Duration::ZERO).await;
        let mut replies = asked?.into_iter();
        let info = replies.next();
        if let Some(Err(error)) = replies.next() {
            return Err(match error.code() {
                Some("NOPERM") => CannotConfirm::Denied(wait[0]).into(),
                Some("ERR") if error.to_string().contains("unknown command") => {
                    CannotConfirm::UnknownCommand(wait[0]).into()
                }
                _ => error.into(),
            });
        }
        // Where INFO is denied, waiting itself will tell.
        let Some(Ok(info)) = info else { return Ok(()) };
        let info = take_string(info).map_err(|error| Error::new("INFO", error.into()))?;
        match self.durability {
            Durability::Replicas(needed) => match online_replicas(&info) {
                connected if connected < needed => {
                    Err(CannotConfirm::TooFewReplicas { connected, needed }.into())
                }
                _ => Ok(()),
            },
            Durability::Fsync if info.lines().any(|line| line.trim_end() == "aof_enabled:0") => {
                Err(CannotConfirm::NoAppendOnlyFile.into())
            }
            Durability::Fsync => Ok(()),
        }
    }
}

impl Durability {
    fn wait(self, timeout: Duration) -> Cmd {
        let timeout = timeout.as_millis().to_string();
        let mut cmd;
        match self {
            Self::Replicas(replicas) => {
                cmd = redis::cmd("WAIT");
                cmd.arg(replicas);
            }
            Self::Fsync => {
                cmd = redis::cmd("WAITAOF");
                cmd.arg(1).arg(0);
            }
        }
        cmd.arg(timeout);
        cmd
    }

    /// WAIT replies how many replicas have it, WAITAOF first whether the server itself has.
    fn is_reached(self, reply: Value) -> bool {
        match self {
            Self::Replicas(needed) => take_int(reply).is_ok_and(|reached| reached >= i64::from(needed)),
            Self::Fsync => {
                take_tuple(reply).and_then(|[local]| take_int(local)).is_ok_and(|local| local >= 1)
            }
        }
    }
}

/// Replicas that have caught up with the stream of writes (`slave0:ip=…,state=online,…` in INFO replication).
fn online_replicas(info: &str) -> u32 {
    let is_online = |line: &&str| {
        line.split_once(':').is_some_and(|(name, state)| {
            let number = name.strip_prefix("slave").unwrap_or_default();
            !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
                && state.split(',').any(|part| part.trim_end() == "state=online")
        })
    };
    info.lines().filter(is_online).count().try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_replicas_that_are_online_count() {
        let info = "# Replication\r\nrole:master\r\nconnected_slaves:3\r\n\
            slave0:ip=127.0.0.1,port=1,state=online,offset=5,lag=1\r\n\
            slave1:ip=127.0.0.1,port=2,state=wait_bgsave,offset=0,lag=0\r\n\
            slave2:ip=127.0.0.1,port=3,offset=5,lag=1,state=online\r\nslave_repl_offset:7\r\n";
        assert_eq!(online_replicas(info), 2);
        assert_eq!(online_replicas("role:master\r\nconnected_slaves:0\r\n"), 0);
    }

    #[test]
    fn only_what_was_reached_is_confirmed() {
        let pair = |local, replicas| Value::Array(vec![Value::Int(local), Value::Int(replicas)]);
        assert!(Durability::Replicas(1).is_reached(Value::Int(1)));
        assert!(!Durability::Replicas(2).is_reached(Value::Int(1)));
        assert!(!Durability::Replicas(1).is_reached(Value::Nil));
        assert!(Durability::Fsync.is_reached(pair(1, 0)));
        assert!(!Durability::Fsync.is_reached(pair(0, 1)));
        assert!(!Durability::Fsync.is_reached(Value::Int(1)));
    }
}
