//! The pending entries list: ack, look, claim (XACK, XPENDING, XCLAIM, XAUTOCLAIM).

use std::time::Duration;

use redis::{FromRedisValue, ParsingError, Value};

use super::EventStream;
use crate::{
    Entry, Error, StreamId,
    reply::{EntriesReply, take_array, take_id, take_ids, take_int, take_string, take_tuple},
};

/// What a group has been handed and not acked, in sum (XPENDING).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PendingSummary {
    /// Entries pending in all.
    pub count: u64,
    /// The oldest and the newest of them.
    pub range: Option<(StreamId, StreamId)>,
    /// Entries pending for each consumer that has any.
    pub consumers: Vec<(String, u64)>,
}

/// One pending entry (XPENDING, extended form).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRow {
    /// The entry.
    pub id: StreamId,
    /// Who was handed it last.
    pub consumer: String,
    /// Time since then, or since its lease was renewed.
    pub idle: Duration,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// Which pending rows to list.
#[derive(Debug, Clone)]
pub struct PendingFilter<'a> {
    /// Only rows idle for at least this long.
    pub min_idle: Option<Duration>,
    /// From this entry on.
    pub start: StreamId,
    /// Up to this entry.
    pub end: StreamId,
    /// At most so many rows.
    pub count: usize,
    /// Only this consumer's rows.
    pub consumer: Option<&'a str>,
}

impl Default for PendingFilter<'_> {
    fn default() -> Self {
        Self { min_idle: None, start: StreamId::MIN, end: StreamId::MAX, count: 100, consumer: None }
    }
}

/// One page of XAUTOCLAIM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AutoClaimed {
    /// Where the next page starts; `None` once the whole list has been covered. A page can be empty and
    /// still not be the last: the server looks at a bounded number of rows a call.
    pub next: Option<StreamId>,
    /// Entries that now belong to the claiming consumer; each delivery count went up by one.
    pub entries: Vec<Entry>,
    /// Entries whose payload was gone. The server has dropped their rows: this is their only trace.
    pub deleted: Vec<StreamId>,
}

impl FromRedisValue for PendingSummary {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let [count, first, last, consumers] = take_tuple(value)?;
        let count = take_int(count)?.unsigned_abs();
        if count == 0 {
            return Ok(Self::default());
        }
        let consumers = take_array(consumers)?
            .into_iter()
            .map(|row| {
                let [name, pending] = take_tuple(row)?;
                Ok((take_string(name)?, take_int(pending)?.unsigned_abs()))
            })
            .collect::<Result<_, ParsingError>>()?;
        Ok(Self { count, range: Some((take_id(first)?, take_id(last)?)), consumers })
    }
}

impl FromRedisValue for PendingRow {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let [id, consumer, idle, deliveries] = take_tuple(value)?;
        Ok(Self {
            id: take_id(id)?,
            consumer: take_string(consumer)?,
            // Negative for rows that were given back explicitly (XNACK, Redis 8.8): claimable by anyone.
            idle: u64::try_from(take_int(idle)?).map_or(Duration::MAX, Duration::from_millis),
            deliveries: take_int(deliveries)?.unsigned_abs(),
        })
    }
}

impl FromRedisValue for AutoClaimed {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let [next, entries, deleted] = take_tuple(value)?;
        let next = take_id(next)?;
        Ok(Self {
            next: (next != StreamId::MIN).then_some(next),
            entries: EntriesReply::from_redis_value(entries)?.entries,
            deleted: take_ids(deleted)?,
        })
    }
}

impl EventStream {
    /// Acks entries in one round trip (XACK). Returns how many were pending.
    pub async fn ack(&self, group: &str, ids: &[StreamId]) -> Result<u64, Error> {
        if ids.is_empty() {
            return Ok(0);
        }
        let mut cmd = redis::cmd("XACK");
        cmd.arg(self.key.as_str()).arg(group).arg(ids);
        self.connection.query("XACK", &cmd).await
    }

    /// What the group has pending, in sum.
    pub async fn pending_summary(&self, group: &str) -> Result<PendingSummary, Error> {
        let mut cmd = redis::cmd("XPENDING");
        cmd.arg(self.key.as_str()).arg(group);
        self.connection.query("XPENDING", &cmd).await
    }

    /// A page of pending rows, oldest entry first.
    pub async fn pending(&self, group: &str, filter: &PendingFilter<'_>) -> Result<Vec<PendingRow>, Error> {
        let mut cmd = redis::cmd("XPENDING");
        cmd.arg(self.key.as_str()).arg(group);
        if let Some(min_idle) = filter.min_idle {
            cmd.arg("IDLE").arg(min_idle.as_millis() as u64);
        }
        cmd.arg(filter.start).arg(filter.end).arg(filter.count);
        if let Some(consumer) = filter.consumer {
            cmd.arg(consumer);
        }
        self.connection.query("XPENDING", &cmd).await
    }

    /// Takes over the named pending entries that have been idle for `min_idle`, whoever held them
    /// (XCLAIM). Returns those that were taken; a lost race and a lost payload both look like absence.
    pub async fn claim(
        &self,
        group: &str,
        consumer: &str,
        min_idle: Duration,
        ids: &[StreamId],
    ) -> Result<Vec<Entry>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut cmd = redis::cmd("XCLAIM");
        cmd.arg(self.key.as_str()).arg(group).arg(consumer).arg(min_idle.as_millis() as u64).arg(ids);
        let reply: EntriesReply = self.connection.query("XCLAIM", &cmd).await?;
        Ok(reply.entries)
    }

    /// Takes over one page of entries that have been idle for `min_idle`, whoever held them (XAUTOCLAIM).
    /// Go on at [`AutoClaimed::next`] until it is `None`; starting over each time strands the tail.
    pub async fn autoclaim(
        &self,
        group: &str,
        consumer: &str,
        min_idle: Duration,
        start: StreamId,
        count: usize,
    ) -> Result<AutoClaimed, Error> {
        let mut cmd = redis::cmd("XAUTOCLAIM");
        cmd.arg(self.key.as_str()).arg(group).arg(consumer).arg(min_idle.as_millis() as u64);
        cmd.arg(start).arg("COUNT").arg(count);
        self.connection.query("XAUTOCLAIM", &cmd).await
    }
}
