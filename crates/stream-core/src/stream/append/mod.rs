//! Appending entries: one, many in a pipeline, once although they are sent twice, and so that they are safe.

mod batch;
mod dedup;
mod durable;

use redis::{Cmd, FromRedisValue, ParsingError, Value};

pub use batch::{Appended, AppendedBatch, NewEntry, Novelty};
pub use dedup::{Dedup, DedupMark, DedupMemory};
pub use durable::{CannotConfirm, Durability, DurableAppender, DurableBatch, DurableError};

use super::EventStream;
use crate::{Error, StreamId, reply::take_id};

/// XADD's reply.
struct Added(StreamId);

impl FromRedisValue for Added {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        take_id(value).map(Self)
    }
}

impl EventStream {
    /// Appends one entry; the server gives it its ID (XADD).
    ///
    /// After an error for which [`Error::may_have_been_applied`] holds, the entry may be in the stream.
    pub async fn append<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        fields: impl IntoIterator<Item = (K, V)>,
    ) -> Result<StreamId, Error> {
        let added: Added = self.connection.query("XADD", &self.xadd(fields)).await?;
        Ok(added.0)
    }

    /// Appends many entries in one round trip (a pipeline of XADD), with a result for each, in order.
    ///
    /// The entries are not one transaction: some may be stored and others refused. If the connection
    /// breaks, every result is that error. 50 to 200 entries a call is sensible.
    pub async fn append_batch<K: AsRef<[u8]>, V: AsRef<[u8]>, F: IntoIterator<Item = (K, V)>>(
        &self,
        entries: impl IntoIterator<Item = F>,
    ) -> Vec<Result<StreamId, Error>> {
        let mut pipeline = redis::pipe();
        for fields in entries {
            pipeline.add_command(self.xadd(fields));
        }
        let count = pipeline.cmd_iter().count();
        if count == 0 {
            return Vec::new();
        }
        // Without this one refused XADD would hide the IDs of all the others.
        pipeline.ignore_errors();
        match self.connection.batch::<Added>("XADD", &pipeline).await {
            Ok(results) => results.into_iter().map(|result| result.map(|added| added.0)).collect(),
            Err(error) => vec![Err(error); count],
        }
    }

    fn xadd<K: AsRef<[u8]>, V: AsRef<[u8]>>(&self, fields: impl IntoIterator<Item = (K, V)>) -> Cmd {
        let mut cmd = redis::cmd("XADD");
        cmd.arg(self.key.as_str());
        self.add_arguments(&mut cmd, fields);
        cmd
    }

    /// What follows the key in XADD.
    fn add_arguments<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        cmd: &mut Cmd,
        fields: impl IntoIterator<Item = (K, V)>,
    ) {
        if let Some(max_len) = self.max_len {
            cmd.arg("MAXLEN").arg(max_len.precision.symbol()).arg(max_len.entries);
        }
        cmd.arg("*");
        for (field, value) in fields {
            cmd.arg(field.as_ref()).arg(value.as_ref());
        }
    }
}
