//! Tries each capability on a throw-away key in the stream's slot. The version is never asked.

use std::time::Duration;

use redis::{Cmd, FromRedisValue, Pipeline, Value};
use tokio::time::{Instant, timeout_at};

use super::{Availability, Capabilities, Capability};
use crate::{
    Error, ErrorKind, EventStream, StreamId,
    reply::{EntriesReply, NamedReply, take_array, take_id, take_int, take_tuple},
};

/// How long all attempts together may take.
const PROBE_MAX: Duration = Duration::from_secs(5);

/// How long removing the keys may take.
const CLEANUP_MAX: Duration = Duration::from_secs(1);

/// When the server removes the keys by itself, should we not live to do it.
const KEY_TTL: Duration = Duration::from_mins(1);

impl Capabilities {
    /// Tries every capability at the server behind `stream`, within about six seconds. Each has a key of its own,
    /// `{<stream>}:probe:<random>:<label>`, which is deleted whatever happens and has a TTL besides; the stream
    /// itself is not touched. What could not be tried, for want of a connection, of memory or of time, is
    /// [unknown](Availability::Unknown).
    pub async fn probe(stream: &EventStream) -> Self {
        let run = fastrand::u64(..);
        let keys = Capability::ALL
            .map(|capability| stream.key().with_suffix(&format!("probe:{run:016x}:{}", capability.label())));
        let mut found = Self::untried();
        let deadline = Instant::now() + PROBE_MAX;
        for (capability, key) in Capability::ALL.into_iter().zip(&keys) {
            let attempt = Attempt { stream, key };
            found.0[capability as usize] = match timeout_at(deadline, attempt.run(capability)).await {
                Ok(Ok(true)) => Availability::Available,
                Ok(Ok(false)) => Availability::Unavailable,
                Ok(Err(error)) => judge(&error),
                Err(_) => Availability::Unknown(format!("no answer within {PROBE_MAX:?}")),
            };
        }
        let mut unlink = redis::cmd("UNLINK");
        unlink.arg(&keys);
        let removed = stream.connection().query::<Value>("UNLINK", &unlink);
        match timeout_at(Instant::now() + CLEANUP_MAX, removed).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the probe's keys are left to their TTL"),
            Err(_) => tracing::debug!("the probe's keys are left to their TTL"),
        }
        found
    }
}

/// What a refusal means: the commands before it are older than every server we run on, so a plain `ERR` (unknown
/// command, syntax error) is about the new one.
fn judge(error: &Error) -> Availability {
    match error.code() {
        Some("NOPERM") => Availability::Denied,
        Some("ERR") if error.kind() == ErrorKind::Server => Availability::Unavailable,
        _ => Availability::Unknown(error.to_string()),
    }
}

/// One capability's attempt on a key of its own.
struct Attempt<'a> {
    stream: &'a EventStream,
    key: &'a str,
}

impl Attempt<'_> {
    /// Whether it works. A reply of another shape than documented is a no: nobody could use it.
    async fn run(&self, capability: Capability) -> Result<bool, Error> {
        let outcome = match capability {
            Capability::AckedTrim => self.acked_trim().await,
            Capability::AckDelete => self.ack_delete().await,
            Capability::GuardedDelete => self.guarded_delete().await,
            Capability::ReadClaim => self.read_claim().await,
            Capability::IdempotentAppend => self.idempotent_append().await,
            Capability::DuplicateCount => self.duplicate_count().await,
            Capability::Nack => self.nack().await,
            Capability::WaitAof => self.wait_aof().await,
            Capability::ConsumerInactive => self.consumer_inactive().await,
        };
        match outcome {
            Err(error) if error.kind() == ErrorKind::Reply => Ok(false),
            outcome => outcome,
        }
    }

    /// Four entries and two groups: 1-0 acked by both, 2-0 pending in `a`, 3-0 not delivered to `b`, 4-0 to none.
    async fn prepare(&self) -> Result<(), Error> {
        let mut transaction = redis::pipe();
        transaction.atomic();
        let mut add = |words: &[&str]| {
            let (name, args) = words.split_first().unwrap_or((&"", &[]));
            transaction.cmd(name).arg(args);
        };
        let key = self.key;
        for id in ["1-0", "2-0", "3-0", "4-0"] {
            add(&["XADD", key, id, "n", id]);
        }
        add(&["PEXPIRE", key, &KEY_TTL.as_millis().to_string()]);
        for (group, count) in [("a", "3"), ("b", "2")] {
            add(&["XGROUP", "CREATE", key, group, "0"]);
            add(&["XREADGROUP", "GROUP", group, "reader", "COUNT", count, "STREAMS", key, ">"]);
        }
        add(&["XACK", key, "a", "1-0", "3-0"]);
        add(&["XACK", key, "b", "1-0", "2-0"]);
        self.transact(&transaction).await
    }

    async fn acked_trim(&self) -> Result<bool, Error> {
        self.prepare().await?;
        let trimmed: i64 = self.send(&["XTRIM", self.key, "MINID", "=", "9-0", "ACKED"]).await?;
        Ok(trimmed == 1 && self.ids_left().await? == [2, 3, 4])
    }

    async fn ack_delete(&self) -> Result<bool, Error> {
        self.prepare().await?;
        // 3-0 is acked in `a` and still to come in `b`.
        let done: Vec<i64> =
            self.send(&["XACKDEL", self.key, "a", "ACKED", "IDS", "2", "2-0", "3-0"]).await?;
        Ok(done.first() == Some(&1) && self.ids_left().await? == [1, 3, 4])
    }

    async fn guarded_delete(&self) -> Result<bool, Error> {
        self.prepare().await?;
        let done: Vec<i64> =
            self.send(&["XDELEX", self.key, "ACKED", "IDS", "3", "1-0", "2-0", "3-0"]).await?;
        Ok(done == [1, 2, 2] && self.ids_left().await? == [2, 3, 4])
    }

    async fn read_claim(&self) -> Result<bool, Error> {
        self.prepare().await?;
        let read = ["XREADGROUP", "GROUP", "a", "other", "CLAIM", "0", "STREAMS", self.key, ">"];
        let ClaimingRead(rows) = self.send(&read).await?;
        // Claimed first, delivered once before; then what is new.
        Ok(rows == [(2, 1), (4, 0)])
    }

    async fn idempotent_append(&self) -> Result<bool, Error> {
        self.prepare().await?;
        let append = ["XADD", self.key, "IDMP", "producer", "item", "*", "n", "5"];
        let first: String = self.send(&append).await?;
        let second: String = self.send(&append).await?;
        Ok(first == second)
    }

    async fn duplicate_count(&self) -> Result<bool, Error> {
        if !self.idempotent_append().await? {
            return Ok(false);
        }
        let mut info: NamedReply = self.send(&["XINFO", "STREAM", self.key]).await?;
        Ok(info.take("iids-duplicates") == Some(Value::Int(1)))
    }

    async fn nack(&self) -> Result<bool, Error> {
        self.prepare().await?;
        self.send::<Value>(&["XNACK", self.key, "a", "SILENT", "IDS", "1", "2-0"]).await?;
        // It is still pending, for anybody to take.
        let rows: Value = self.send(&["XPENDING", self.key, "a", "2-0", "2-0", "1"]).await?;
        Ok(matches!(rows, Value::Array(rows) if rows.len() == 1))
    }

    async fn wait_aof(&self) -> Result<bool, Error> {
        // Waits for nothing, since it would delay whoever shares the connection.
        self.send::<Vec<i64>>(&["WAITAOF", "0", "0", "1"]).await.map(|reply| reply.len() == 2)
    }

    async fn consumer_inactive(&self) -> Result<bool, Error> {
        self.prepare().await?;
        let consumers: Vec<NamedReply> = self.send(&["XINFO", "CONSUMERS", self.key, "a"]).await?;
        let mut consumers = consumers.into_iter();
        Ok(consumers.next().is_some_and(|mut reader| reader.take("inactive").is_some()))
    }

    /// The IDs' milliseconds that the stream still holds.
    async fn ids_left(&self) -> Result<Vec<u64>, Error> {
        let left: EntriesReply = self.send(&["XRANGE", self.key, "-", "+"]).await?;
        Ok(left.entries.iter().map(|entry| entry.id.ms).collect())
    }

    async fn send<T: FromRedisValue>(&self, words: &[&str]) -> Result<T, Error> {
        let mut cmd = Cmd::new();
        cmd.arg(words);
        self.stream.connection().query("probe", &cmd).await
    }

    async fn transact(&self, transaction: &Pipeline) -> Result<(), Error> {
        self.stream.connection().pipeline::<Value>("probe", transaction).await.map(drop)
    }
}

/// The rows of `XREADGROUP … CLAIM`: the ID's milliseconds, and how often it was delivered before.
struct ClaimingRead(Vec<(u64, i64)>);

impl FromRedisValue for ClaimingRead {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let Some(stream) = take_array(value)?.into_iter().next() else { return Ok(Self(Vec::new())) };
        let [_, rows] = take_tuple(stream)?;
        let row = |row| {
            let [id, _, _, deliveries] = take_tuple(row)?;
            let id: StreamId = take_id(id)?;
            Ok((id.ms, take_int(deliveries)?))
        };
        take_array(rows)?.into_iter().map(row).collect::<Result<_, _>>().map(Self)
    }
}
