//! Bounding dead letters by number and by age; what is dropped is counted.

use std::time::Duration;

use redis::{FromRedisValue, ParsingError, Value};

use super::DeadLetters;
use crate::{
    Error,
    reply::{take_array, take_int, unexpected},
    scripts,
};

/// Entries that one call drops for each bound: short enough not to hold the server up.
const DROP_MAX: usize = 10_000;

/// How many dead letters a group keeps, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeadLetterBounds {
    /// At most so many; `None` for any number.
    pub max_entries: Option<u64>,
    /// None that died longer ago; `None` for ever.
    pub max_age: Option<Duration>,
}

/// What enforcing the bounds did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BoundedDeadLetters {
    /// Dead letters dropped now.
    pub dropped: u64,
    /// Dead letters ever dropped, by whomever.
    pub dropped_total: u64,
    /// Whether there are more to drop: a call drops a bounded number.
    pub more: bool,
}

/// The script's reply; `None` when fenced.
struct Reply(Option<BoundedDeadLetters>);

impl FromRedisValue for Reply {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let items = take_array(value)?;
        let [dropped, total, more] = match <[Value; 3]>::try_from(items) {
            Ok(items) => items,
            Err(items) if items.len() == 1 => return Ok(Self(None)),
            Err(_) => return Err(unexpected("expected what was dropped")),
        };
        Ok(Self(Some(BoundedDeadLetters {
            dropped: take_int(dropped)?.unsigned_abs(),
            dropped_total: take_int(total)?.unsigned_abs(),
            more: take_int(more)? == 1,
        })))
    }
}

impl DeadLetters {
    /// Drops the oldest dead letters beyond the bounds and counts them in Redis, in one step, as the reaper whose
    /// lease has this value; `None`, with nothing done, if the lease is not its any more. A call drops at most
    /// 10,000 for each bound.
    pub async fn bound(
        &self,
        lease_value: &str,
        bounds: DeadLetterBounds,
    ) -> Result<Option<BoundedDeadLetters>, Error> {
        let stream = self.stream.key();
        let mut script = scripts::BOUND_DEAD_LETTERS.prepare_invoke();
        script.key(&self.key).key(stream.dead_letters_dropped(&self.group)).key(stream.reaper_lease());
        script.arg(lease_value).arg(bounds.max_entries.unwrap_or(0));
        // A bound of less than a millisecond is still a bound.
        script.arg(bounds.max_age.map_or(0, |age| age.as_millis().max(1) as u64)).arg(DROP_MAX);
        Ok(self.stream.connection().invoke::<Reply>("bound dead letters", &script).await?.0)
    }
}
