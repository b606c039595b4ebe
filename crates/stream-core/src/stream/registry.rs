//! The registry of consumers: which ones the runtime knows, and which of them are alive.

use redis::{FromRedisValue, ParsingError, Value};
use serde::Deserialize;

use super::EventStream;
use crate::{
    ConsumerCounters, Error, Holder,
    reply::{take_array, take_string},
};

/// A consumer that holds its name, or held it and left entries behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredConsumer {
    /// Its group: a managed one, since the runtime registered it.
    pub group: String,
    /// Its name.
    pub consumer: String,
    /// The process that reserved the name last, if that can be read.
    pub holder: Option<Holder>,
    /// What it has done since that process took the name, as last told.
    pub counters: ConsumerCounters,
}

/// The part of a registry's value that comes after the holder.
#[derive(Default, Deserialize)]
struct Told {
    #[serde(default)]
    counters: ConsumerCounters,
}

/// HGETALL's reply.
#[derive(Default)]
pub(super) struct Registry(Vec<RegisteredConsumer>);

impl Registry {
    pub(super) fn into_consumers(self) -> Vec<RegisteredConsumer> {
        self.0
    }
}

impl FromRedisValue for Registry {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut consumers = Vec::new();
        let mut items = take_array(value)?.into_iter();
        while let (Some(field), Some(value)) = (items.next(), items.next()) {
            // A group's name may contain a slash; a consumer's is what follows the last one.
            if let Some((group, consumer)) = take_string(field)?.rsplit_once('/') {
                let value = take_string(value)?;
                consumers.push(RegisteredConsumer {
                    group: group.to_owned(),
                    consumer: consumer.to_owned(),
                    holder: serde_json::from_str(&value).ok(),
                    counters: serde_json::from_str::<Told>(&value).unwrap_or_default().counters,
                });
            }
        }
        Ok(Self(consumers))
    }
}

impl EventStream {
    /// Every registered consumer of every managed group.
    pub async fn registered_consumers(&self) -> Result<Vec<RegisteredConsumer>, Error> {
        let mut cmd = redis::cmd("HGETALL");
        cmd.arg(self.key.workers());
        Ok(self.connection.query::<Registry>("HGETALL workers", &cmd).await?.0)
    }

    /// The process of the active reaper, `None` if there is none; its lease's text if it cannot be read as one.
    pub async fn active_reaper(&self) -> Result<Option<Result<Holder, String>>, Error> {
        let mut cmd = redis::cmd("GET");
        cmd.arg(self.key.reaper_lease());
        let value: Option<String> = self.connection.query("GET lease", &cmd).await?;
        Ok(value.map(|value| serde_json::from_str(&value).map_err(|_| value)))
    }

    /// What the consumers of `group` have done in all, those that are gone included. Entries whose consumer was
    /// killed within a second of handling them are missing.
    pub async fn group_totals(&self, group: &str) -> Result<ConsumerCounters, Error> {
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(self.key.worker_totals());
        for name in ConsumerCounters::NAMES {
            cmd.arg(format!("{group}/{name}"));
        }
        let values: [Option<u64>; 5] = self.connection.query("HMGET totals", &cmd).await?;
        Ok(ConsumerCounters::of_values(values.map(Option::unwrap_or_default)))
    }

    /// For each consumer of `group`, whether its name is leased now.
    pub async fn consumers_alive(&self, group: &str, consumers: &[&str]) -> Result<Vec<bool>, Error> {
        let names: Vec<_> = consumers.iter().map(|consumer| (group, *consumer)).collect();
        self.names_leased(&names).await
    }

    /// For each group and consumer, whether the name is leased now.
    pub async fn names_leased(&self, names: &[(&str, &str)]) -> Result<Vec<bool>, Error> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut cmd = redis::cmd("MGET");
        for (group, consumer) in names {
            cmd.arg(self.key.consumer_lease(group, consumer));
        }
        let leases: Vec<Option<String>> = self.connection.query("MGET leases", &cmd).await?;
        Ok(leases.iter().map(Option::is_some).collect())
    }
}
