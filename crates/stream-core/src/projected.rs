//! [`Projected`]: reading what projections wrote, the query side of [`Effects`](crate::Effects).

use std::ops::RangeInclusive;

use redis::{FromRedisValue, ParsingError, Value};

use crate::{
    Error, EventStream,
    reply::{take_array, take_int, take_string},
};

/// Names and numbers alternating (HGETALL, ZREVRANGE … WITHSCORES).
struct Numbers(Vec<(String, i64)>);

impl FromRedisValue for Numbers {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut numbers = Vec::new();
        let mut items = take_array(value)?.into_iter();
        while let (Some(name), Some(number)) = (items.next(), items.next()) {
            numbers.push((take_string(name)?, take_number(number)?));
        }
        Ok(Self(numbers))
    }
}

/// A whole number; a score above 10^17 would come with an exponent, but projections stay below 2^53.
fn take_number(value: Value) -> Result<i64, ParsingError> {
    match value {
        Value::Double(score) => Ok(score as i64),
        value => take_int(value),
    }
}

/// A projection as it is read: one generation of it, by the suffixes under which it was written.
///
/// Take one for each query ([`EventStream::projected`]): all of a query's reads then see the same generation, whether or
/// not a rebuild swaps another one in meanwhile. It can be read for a minute after that.
#[derive(Debug, Clone)]
pub struct Projected {
    stream: EventStream,
    group: String,
    generation: u64,
}

impl EventStream {
    /// The live generation of a group's projection (HGET of its state).
    pub async fn projected(&self, group: &str) -> Result<Projected, Error> {
        let mut cmd = redis::cmd("HGET");
        cmd.arg(self.key().projection(group)).arg("live");
        let live: Option<u64> = self.connection().query("HGET live generation", &cmd).await?;
        Ok(Projected { stream: self.clone(), group: group.to_owned(), generation: live.unwrap_or(0) })
    }
}

impl Projected {
    /// The generation: 0 until the projection is first rebuilt.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The full name of a key.
    pub fn key(&self, suffix: &str) -> String {
        self.stream.key().generation(&self.group, self.generation, suffix)
    }

    /// Every field of a hash of numbers (HGETALL).
    pub async fn hash(&self, suffix: &str) -> Result<Vec<(String, i64)>, Error> {
        let mut cmd = redis::cmd("HGETALL");
        cmd.arg(self.key(suffix));
        Ok(self.stream.connection().query::<Numbers>("HGETALL", &cmd).await?.0)
    }

    /// Some fields of a hash of numbers (HMGET), 0 for those that are not there.
    pub async fn fields(&self, suffix: &str, fields: &[String]) -> Result<Vec<i64>, Error> {
        if fields.is_empty() {
            return Ok(Vec::new());
        }
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(self.key(suffix)).arg(fields);
        let values: Vec<Option<i64>> = self.stream.connection().query("HMGET", &cmd).await?;
        Ok(values.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// The `count` members of the highest scores (ZREVRANGE).
    pub async fn top(&self, suffix: &str, count: usize) -> Result<Vec<(String, i64)>, Error> {
        let Some(last) = count.checked_sub(1) else { return Ok(Vec::new()) };
        let mut cmd = redis::cmd("ZREVRANGE");
        cmd.arg(self.key(suffix)).arg(0).arg(last).arg("WITHSCORES");
        Ok(self.stream.connection().query::<Numbers>("ZREVRANGE", &cmd).await?.0)
    }

    /// The number of members whose score lies in the range (ZCOUNT).
    pub async fn count(&self, suffix: &str, scores: RangeInclusive<i64>) -> Result<u64, Error> {
        let mut cmd = redis::cmd("ZCOUNT");
        cmd.arg(self.key(suffix)).arg(*scores.start()).arg(*scores.end());
        self.stream.connection().query("ZCOUNT", &cmd).await
    }
}
