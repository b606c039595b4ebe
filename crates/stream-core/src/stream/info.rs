//! What the server knows about a stream, its groups and consumers (XINFO), and a lag one can trust.

use std::time::Duration;

use redis::{FromRedisValue, ParsingError, Value};

use super::EventStream;
use crate::{
    Entry, Error, StreamId,
    reply::{EntriesReply, NamedReply, take_id, take_int, take_string},
    scripts,
};

/// A stream in figures (XINFO STREAM). All zero for a stream that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamInfo {
    /// Entries there are now.
    pub length: u64,
    /// Entries ever added.
    pub entries_added: u64,
    /// The newest ID ever given.
    pub last_generated_id: StreamId,
    /// The oldest entry.
    pub first_entry: Option<Entry>,
    /// The newest entry.
    pub last_entry: Option<Entry>,
}

/// A consumer group in figures (XINFO GROUPS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its name. Bytes that are not UTF-8 are U+FFFD: see [`GroupInfo::is_addressable`].
    pub name: String,
    /// Consumers known to the server.
    pub consumers: u64,
    /// Entries delivered and not acked.
    pub pending: u64,
    /// The newest entry it was handed.
    pub last_delivered_id: StreamId,
    /// What the server believes to be undelivered; wrong on some servers after trims, so use
    /// [`EventStream::lag`].
    pub server_lag: Lag,
}

/// A consumer in figures (XINFO CONSUMERS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerInfo {
    /// Its name. Bytes that are not UTF-8 are U+FFFD: see [`ConsumerInfo::is_addressable`].
    pub name: String,
    /// Entries delivered to it and not acked.
    pub pending: u64,
    /// Time since it last tried to read (on 7.0: last interacted).
    pub idle: Duration,
    /// Time since it last got something; unknown before Redis 7.2, or if it never did.
    pub inactive: Option<Duration>,
}

impl GroupInfo {
    /// Whether commands can name it: not where its name had to be altered to be shown.
    pub fn is_addressable(&self) -> bool {
        !self.name.contains(char::REPLACEMENT_CHARACTER)
    }
}

impl ConsumerInfo {
    /// Whether commands can name it: not where its name had to be altered to be shown.
    pub fn is_addressable(&self) -> bool {
        !self.name.contains(char::REPLACEMENT_CHARACTER)
    }
}

/// A group's undelivered entries. Unknown is never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    /// So many.
    Known(u64),
    /// Cannot be told.
    Unknown,
}

impl Lag {
    /// The number, where it is known.
    pub const fn known(self) -> Option<u64> {
        match self {
            Self::Known(entries) => Some(entries),
            Self::Unknown => None,
        }
    }
}

/// Entries counted by hand at most, where the server's number cannot be trusted: some 10 ms of its time.
const LAG_COUNT_MAX: u64 = 10_000;

fn unsigned(reply: &mut NamedReply, name: &str) -> Result<u64, ParsingError> {
    Ok(u64::try_from(take_int(reply.require(name)?)?).unwrap_or(0))
}

fn millis(value: Value) -> Result<Option<Duration>, ParsingError> {
    // -1: never.
    Ok(u64::try_from(take_int(value)?).ok().map(Duration::from_millis))
}

fn entry(value: Value) -> Result<Option<Entry>, ParsingError> {
    match value {
        Value::Nil => Ok(None),
        value => Ok(EntriesReply::from_redis_value(Value::Array(vec![value]))?.entries.pop()),
    }
}

impl FromRedisValue for StreamInfo {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut reply = NamedReply::from_redis_value(value)?;
        Ok(Self {
            length: unsigned(&mut reply, "length")?,
            entries_added: unsigned(&mut reply, "entries-added")?,
            last_generated_id: take_id(reply.require("last-generated-id")?)?,
            first_entry: entry(reply.require("first-entry")?)?,
            last_entry: entry(reply.require("last-entry")?)?,
        })
    }
}

impl FromRedisValue for GroupInfo {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut reply = NamedReply::from_redis_value(value)?;
        // NULL, and on some servers a negative number: unknown.
        let server_lag = match reply.take("lag") {
            None | Some(Value::Nil) => Lag::Unknown,
            Some(value) => u64::try_from(take_int(value)?).map_or(Lag::Unknown, Lag::Known),
        };
        Ok(Self {
            name: take_string(reply.require("name")?)?,
            consumers: unsigned(&mut reply, "consumers")?,
            pending: unsigned(&mut reply, "pending")?,
            last_delivered_id: take_id(reply.require("last-delivered-id")?)?,
            server_lag,
        })
    }
}

impl FromRedisValue for ConsumerInfo {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut reply = NamedReply::from_redis_value(value)?;
        Ok(Self {
            name: take_string(reply.require("name")?)?,
            pending: unsigned(&mut reply, "pending")?,
            idle: millis(reply.require("idle")?)?.unwrap_or_default(),
            inactive: reply.take("inactive").map(millis).transpose()?.flatten(),
        })
    }
}

impl EventStream {
    /// The stream in figures.
    pub async fn info(&self) -> Result<StreamInfo, Error> {
        self.xinfo("STREAM", &[]).await.map(Option::unwrap_or_default)
    }

    /// What the stream's key holds (TYPE): `stream`, `none`, or what somebody else has put there.
    pub async fn key_type(&self) -> Result<String, Error> {
        let mut cmd = redis::cmd("TYPE");
        cmd.arg(self.key.as_str());
        self.connection.query("TYPE", &cmd).await
    }

    /// Every consumer group of the stream; none if there is no stream.
    pub async fn groups(&self) -> Result<Vec<GroupInfo>, Error> {
        self.xinfo("GROUPS", &[]).await.map(Option::unwrap_or_default)
    }

    /// Every consumer of a group.
    pub async fn consumers(&self, group: &str) -> Result<Vec<ConsumerInfo>, Error> {
        self.xinfo("CONSUMERS", &[group]).await.map(Option::unwrap_or_default)
    }

    /// `None` if there is no such stream.
    async fn xinfo<T: FromRedisValue>(&self, what: &'static str, args: &[&str]) -> Result<Option<T>, Error> {
        let mut cmd = redis::cmd("XINFO");
        cmd.arg(what).arg(self.key.as_str()).arg(args);
        match self.connection.query("XINFO", &cmd).await {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.is_answer() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The entries that `group` has not been handed, from the stream itself rather than from the server's
    /// counter alone, which is wrong on several servers after XTRIM and XDEL
    /// (redis #13337, #13957, valkey #641).
    pub async fn lag(&self, stream: &StreamInfo, group: &GroupInfo) -> Result<Lag, Error> {
        let (Some(first), Some(last)) = (&stream.first_entry, &stream.last_entry) else {
            return Ok(Lag::Known(0));
        };
        if group.last_delivered_id >= last.id {
            return Ok(Lag::Known(0));
        }
        if group.last_delivered_id < first.id {
            return Ok(Lag::Known(stream.length));
        }
        if stream.entries_added == stream.length
            && let Lag::Known(counted @ 1..) = group.server_lag
            && counted <= stream.length
        {
            // Nothing was ever removed, so the counter had no occasion to go wrong.
            return Ok(Lag::Known(counted));
        }
        let mut script = scripts::COUNT_AFTER.prepare_invoke();
        script.key(self.key.as_str()).arg(group.last_delivered_id).arg(LAG_COUNT_MAX);
        let counted: i64 = self.connection.invoke("count undelivered entries", &script).await?;
        Ok(u64::try_from(counted).map_or(Lag::Unknown, Lag::Known))
    }

    /// The oldest entry that `group` has not been handed.
    pub async fn oldest_undelivered(&self, group: &GroupInfo) -> Result<Option<StreamId>, Error> {
        let Some(start) = group.last_delivered_id.next() else { return Ok(None) };
        let query = super::RangeQuery { start, ..super::RangeQuery::default() };
        Ok(self.range(query, 1).await?.entries.pop().map(|entry| entry.id))
    }

    /// The number of dead letters of a group (XLEN).
    pub async fn dead_letter_count(&self, group: &str) -> Result<u64, Error> {
        let mut cmd = redis::cmd("XLEN");
        cmd.arg(self.key.dead_letters(group));
        self.connection.query("XLEN", &cmd).await
    }
}
