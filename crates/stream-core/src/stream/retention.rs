//! Retention: trimming by length, by age, or guarded by what groups still need (XTRIM).

use redis::{FromRedisValue, ParsingError, Value};

use super::EventStream;
use crate::{
    Error, StreamId,
    reply::{take_id, take_int, take_string, take_tuple},
    scripts,
};

/// How exactly to trim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Whole internal nodes only (`~`): cheap, and a little too much is kept. One call removes at most 100
    /// nodes, by default 10,000 entries: repeat it until it removes nothing.
    #[default]
    Approximate,
    /// To the entry (`=`): markedly dearer on a busy stream.
    Exact,
}

impl Precision {
    pub(super) const fn symbol(self) -> &'static str {
        match self {
            Self::Approximate => "~",
            Self::Exact => "=",
        }
    }
}

/// A bound on the number of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxLen {
    /// Entries to keep.
    pub entries: u64,
    /// How exactly.
    pub precision: Precision,
}

/// What a guarded trim did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardedTrim {
    /// Entries removed.
    pub removed: u64,
    /// Everything before this ID could go.
    pub limit: StreamId,
    /// The group that needs older entries than the age alone would keep.
    pub held_by: Option<String>,
}

impl FromRedisValue for GuardedTrim {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let [removed, limit, held_by] = take_tuple(value)?;
        let held_by = take_string(held_by)?;
        Ok(Self {
            removed: take_int(removed)?.unsigned_abs(),
            limit: take_id(limit)?,
            held_by: (!held_by.is_empty()).then_some(held_by),
        })
    }
}

impl EventStream {
    /// Trims to a length (XTRIM MAXLEN), read or not. Returns the number of entries removed.
    pub async fn trim_to_length(&self, max_len: MaxLen) -> Result<u64, Error> {
        let mut cmd = redis::cmd("XTRIM");
        cmd.arg(self.key.as_str()).arg("MAXLEN").arg(max_len.precision.symbol()).arg(max_len.entries);
        self.connection.query("XTRIM", &cmd).await
    }

    /// Trims everything before an ID (XTRIM MINID), read or not. Returns the number of entries removed.
    pub async fn trim_before(&self, oldest: StreamId, precision: Precision) -> Result<u64, Error> {
        let mut cmd = redis::cmd("XTRIM");
        cmd.arg(self.key.as_str()).arg("MINID").arg(precision.symbol()).arg(oldest);
        self.connection.query("XTRIM", &cmd).await
    }

    /// Trims what is older than `cutoff`, but nothing that one of `groups` has not acked. A group that does
    /// not exist has read nothing, so nothing goes. Approximate.
    pub async fn trim_guarded(&self, cutoff: StreamId, groups: &[String]) -> Result<GuardedTrim, Error> {
        let mut script = scripts::TRIM_GUARDED.prepare_invoke();
        script.key(self.key.as_str()).arg(cutoff).arg(groups);
        self.connection.invoke("guarded XTRIM", &script).await
    }
}
