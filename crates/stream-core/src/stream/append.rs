//! Appending entries: XADD, one or many in a pipeline.

use redis::{Cmd, FromRedisValue, ParsingError, Pipeline, Value};

use super::EventStream;
use crate::{
    Error, StreamId,
    reply::{take_id, take_int},
};

/// XADD's reply.
struct Appended(StreamId);

impl FromRedisValue for Appended {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        take_id(value).map(Self)
    }
}

/// What became of a batch, and how long the stream was after it.
#[derive(Debug)]
pub struct AppendedBatch {
    /// A result for each entry, in order.
    pub results: Vec<Result<StreamId, Error>>,
    /// The stream's length right after the batch; `None` if the server did not tell.
    pub length: Option<u64>,
}

impl EventStream {
    /// Appends one entry; the server gives it its ID (XADD).
    ///
    /// After an error for which [`Error::may_have_been_applied`] holds, the entry may be in the stream.
    pub async fn append<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        fields: impl IntoIterator<Item = (K, V)>,
    ) -> Result<StreamId, Error> {
        let appended: Appended = self.connection.query("XADD", &self.xadd(fields)).await?;
        Ok(appended.0)
    }

    /// Appends many entries in one round trip (a pipeline of XADD), with a result for each, in order.
    ///
    /// The entries are not one transaction: some may be stored and others refused. If the connection
    /// breaks, every result is that error. 50 to 200 entries a call is sensible.
    pub async fn append_batch<K: AsRef<[u8]>, V: AsRef<[u8]>, F: IntoIterator<Item = (K, V)>>(
        &self,
        entries: impl IntoIterator<Item = F>,
    ) -> Vec<Result<StreamId, Error>> {
        let (pipeline, count) = self.xadds(entries);
        if count == 0 {
            return Vec::new();
        }
        match self.connection.batch::<Appended>("XADD", &pipeline).await {
            Ok(results) => results.into_iter().map(|result| result.map(|appended| appended.0)).collect(),
            Err(error) => vec![Err(error); count],
        }
    }

    /// Like [`append_batch`](Self::append_batch), and learns the stream's length in the same round trip
    /// (XLEN, of constant cost).
    pub async fn append_batch_counted<K: AsRef<[u8]>, V: AsRef<[u8]>, F: IntoIterator<Item = (K, V)>>(
        &self,
        entries: impl IntoIterator<Item = F>,
    ) -> AppendedBatch {
        let (mut pipeline, count) = self.xadds(entries);
        pipeline.cmd("XLEN").arg(self.key.as_str());
        let mut replies = match self.connection.batch::<Value>("XADD", &pipeline).await {
            Ok(replies) => replies,
            Err(error) => return AppendedBatch { results: vec![Err(error); count], length: None },
        };
        let length = if replies.len() > count { replies.pop() } else { None };
        let length = length.and_then(|reply| u64::try_from(take_int(reply.ok()?).ok()?).ok());
        let id = |reply: Value| take_id(reply).map_err(|error| Error::new("XADD", error.into()));
        AppendedBatch { results: replies.into_iter().map(|reply| reply.and_then(id)).collect(), length }
    }

    /// One XADD for each entry, and their number.
    fn xadds<K: AsRef<[u8]>, V: AsRef<[u8]>, F: IntoIterator<Item = (K, V)>>(
        &self,
        entries: impl IntoIterator<Item = F>,
    ) -> (Pipeline, usize) {
        let mut pipeline = redis::pipe();
        let mut count = 0_usize;
        for fields in entries {
            pipeline.add_command(self.xadd(fields));
            count += 1;
        }
        // Without this one refused XADD would hide the IDs of all the others.
        pipeline.ignore_errors();
        (pipeline, count)
    }

    fn xadd<K: AsRef<[u8]>, V: AsRef<[u8]>>(&self, fields: impl IntoIterator<Item = (K, V)>) -> Cmd {
        let mut cmd = redis::cmd("XADD");
        cmd.arg(self.key.as_str());
        if let Some(max_len) = self.max_len {
            cmd.arg("MAXLEN").arg(max_len.precision.symbol()).arg(max_len.entries);
        }
        cmd.arg("*");
        for (field, value) in fields {
            cmd.arg(field.as_ref()).arg(value.as_ref());
        }
        cmd
    }
}
