//! Reading what projections wrote: the query side of [`Effects`](crate::Effects).

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

/// Projections are read by the suffix under which they were written.
impl EventStream {
    /// Every field of a hash of numbers (HGETALL).
    pub async fn projected_hash(&self, suffix: &str) -> Result<Vec<(String, i64)>, Error> {
        let mut cmd = redis::cmd("HGETALL");
        cmd.arg(self.key().with_suffix(suffix));
        Ok(self.connection().query::<Numbers>("HGETALL", &cmd).await?.0)
    }

    /// Some fields of a hash of numbers (HMGET), 0 for those that are not there.
    pub async fn projected_fields(&self, suffix: &str, fields: &[String]) -> Result<Vec<i64>, Error> {
        if fields.is_empty() {
            return Ok(Vec::new());
        }
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(self.key().with_suffix(suffix)).arg(fields);
        let values: Vec<Option<i64>> = self.connection().query("HMGET", &cmd).await?;
        Ok(values.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// The `count` members of the highest scores (ZREVRANGE).
    pub async fn projected_top(&self, suffix: &str, count: usize) -> Result<Vec<(String, i64)>, Error> {
        let Some(last) = count.checked_sub(1) else { return Ok(Vec::new()) };
        let mut cmd = redis::cmd("ZREVRANGE");
        cmd.arg(self.key().with_suffix(suffix)).arg(0).arg(last).arg("WITHSCORES");
        Ok(self.connection().query::<Numbers>("ZREVRANGE", &cmd).await?.0)
    }

    /// The number of members whose score lies in the range (ZCOUNT).
    pub async fn projected_count(&self, suffix: &str, scores: RangeInclusive<i64>) -> Result<u64, Error> {
        let mut cmd = redis::cmd("ZCOUNT");
        cmd.arg(self.key().with_suffix(suffix)).arg(*scores.start()).arg(*scores.end());
        self.connection().query("ZCOUNT", &cmd).await
    }
}
