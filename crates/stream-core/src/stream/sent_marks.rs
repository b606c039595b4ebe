//! [`SentMarks`]: remembers in Redis to whom an entry was sent, so that a second delivery does not send it again.

use std::time::Duration;

use redis::Value;

use super::EventStream;
use crate::{Connection, Error, StreamId, StreamKey};

/// Marks of what was sent outside of Redis, one key an entry and target, next to the stream. Cheap to clone.
///
/// A mark is set after the other side has accepted: a process that ends between the two sends once more, so the other
/// side must know a repetition by its name. Marks are kept by an entry's original ID, which a redriven one has too.
#[derive(Debug, Clone)]
pub struct SentMarks {
    connection: Connection,
    key: StreamKey,
    ttl: Duration,
}

impl SentMarks {
    /// Marks beside `stream`, over the same connection, each kept for `ttl` (at least a millisecond).
    pub fn new(stream: &EventStream, ttl: Duration) -> Self {
        let ttl = ttl.max(Duration::from_millis(1));
        Self { connection: stream.connection.clone(), key: stream.key.clone(), ttl }
    }

    /// Which of the targets an entry was sent to, in their order (MGET: one round trip for all of them).
    pub async fn sent(&self, id: StreamId, targets: &[&str]) -> Result<Vec<bool>, Error> {
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        let mut cmd = redis::cmd("MGET");
        for target in targets {
            cmd.arg(self.key.notified(id, target));
        }
        let values: Vec<Value> = self.connection.query("MGET", &cmd).await?;
        Ok(values.iter().map(|value| *value != Value::Nil).collect())
    }

    /// Remembers that the entry was sent to `target` (SET … PX).
    pub async fn mark(&self, id: StreamId, target: &str) -> Result<(), Error> {
        let mut cmd = redis::cmd("SET");
        cmd.arg(self.key.notified(id, target)).arg(1).arg("PX").arg(self.ttl.as_millis() as u64);
        self.connection.query::<Value>("SET", &cmd).await.map(drop)
    }
}
