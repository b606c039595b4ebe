//! Leases: who holds a name or a role, for how long, and whether the holder is still there.

mod holder;
mod name;

use std::time::Duration;

pub use holder::Holder;
pub use name::{NameError, NameLease, NameRenewal};
use redis::{FromRedisValue, ParsingError, Value};

use crate::{
    Connection, Error,
    reply::{take_array, take_int, take_string},
    scripts,
};

/// A lease on a key: a string with a TTL whose value names its holder. The value is also the fencing
/// token: scripts that act for the holder compare it in the same step.
#[derive(Debug, Clone)]
pub struct Lease {
    connection: Connection,
    key: String,
    value: String,
    ttl: Duration,
}

/// What became of an attempt to take a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Take {
    /// It is ours.
    Taken,
    /// Somebody else holds it.
    Held {
        /// The holder's value.
        value: String,
        /// How long the lease still lasts if it is not renewed.
        remaining: Duration,
    },
}

impl FromRedisValue for Take {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut items = take_array(value)?.into_iter();
        match (items.next(), items.next(), items.next()) {
            (_, Some(value), Some(remaining)) => Ok(Self::Held {
                value: take_string(value)?,
                remaining: Duration::from_millis(u64::try_from(take_int(remaining)?).unwrap_or(0)),
            }),
            _ => Ok(Self::Taken),
        }
    }
}

/// Whether the lease was ours: `{1}` or `{0}`.
struct Ours(bool);

impl FromRedisValue for Ours {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let first = take_array(value)?.into_iter().next().unwrap_or(Value::Int(0));
        Ok(Self(take_int(first)? == 1))
    }
}

impl Lease {
    /// A lease on `key`, not taken yet. `value` must be unique to this holder.
    pub const fn new(connection: Connection, key: String, value: String, ttl: Duration) -> Self {
        Self { connection, key, value, ttl }
    }

    /// The value that names the holder.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// How long the lease lasts without renewal.
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Takes the lease if it is free, already ours, or still held with exactly the value `gone`.
    pub async fn take(&self, gone: Option<&str>) -> Result<Take, Error> {
        self.call("take lease", "take", gone.unwrap_or(&self.value)).await
    }

    /// Extends the lease; `false` if it is not ours (any more).
    pub async fn renew(&self) -> Result<bool, Error> {
        self.call::<Ours>("renew lease", "renew", "").await.map(|ours| ours.0)
    }

    /// Gives the lease up; `false` if it was not ours.
    pub async fn release(&self) -> Result<bool, Error> {
        self.call::<Ours>("release lease", "release", "").await.map(|ours| ours.0)
    }

    async fn call<T: FromRedisValue>(
        &self,
        operation: &'static str,
        verb: &str,
        gone: &str,
    ) -> Result<T, Error> {
        let mut script = scripts::LEASE.prepare_invoke();
        script.key(&self.key).arg(verb).arg(self.ttl.as_millis() as u64).arg(&self.value).arg(gone);
        self.connection.invoke(operation, &script).await
    }
}
