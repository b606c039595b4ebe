//! The tools' way to Redis, and what an operator is told when there is none.

use service_kit::Settings;
use stream_core::{Connector, Error, ErrorKind, EventStream};

use crate::output::printable;

/// The configured stream. Nothing is connected yet.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) connector: Connector,
    pub(crate) stream: EventStream,
}

impl Access {
    pub(crate) fn open(settings: &Settings) -> anyhow::Result<Self> {
        let connector = service_kit::redis::connector(settings)?;
        let stream = service_kit::redis::stream(settings, &connector)?;
        Ok(Self { connector, stream })
    }

    /// Says what failed, where, and what to do about it.
    pub(crate) fn explain(&self, error: &Error) -> anyhow::Error {
        explain(&self.connector.address(), error)
    }

    /// A group that does not exist is most often a slip of the pen: names those that do.
    pub(crate) async fn no_such_group(&self, group: &str) -> anyhow::Error {
        let known = match self.stream.groups().await {
            Ok(groups) if groups.is_empty() => "it has none".to_owned(),
            Ok(groups) => {
                let names: Vec<_> = groups.iter().map(|group| printable(&group.name)).collect();
                format!("it has: {}", names.join(", "))
            }
            Err(error) => return self.explain(&error),
        };
        let (key, address) = (self.stream.key(), self.connector.address());
        anyhow::anyhow!("the stream {key} at {address} has no group {group:?}; {known}")
    }

    /// Fails if the stream has no such group.
    pub(crate) async fn group_exists(&self, group: &str) -> anyhow::Result<()> {
        let groups = self.stream.groups().await.map_err(|error| self.explain(&error))?;
        if groups.iter().any(|known| known.name == group) {
            return Ok(());
        }
        Err(self.no_such_group(group).await)
    }
}

/// Says what failed, at which address, and what to do about it.
pub(crate) fn explain(address: &str, error: &Error) -> anyhow::Error {
    match remedy(error.kind()) {
        Some(remedy) => anyhow::anyhow!("Redis at {address}: {error}; {remedy}"),
        None => anyhow::anyhow!("Redis at {address}: {error}"),
    }
}

/// What an operator can do about a kind of failure.
pub(crate) fn remedy(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::Connection | ErrorKind::Timeout => {
            "start it (`orderflow up` brings one of its own), or say where it is with --redis-url or REDIS_URL"
        }
        ErrorKind::Auth => {
            "put user and password into the URL (redis://user:password@host:port/), or set redis.username and \
             redis.password"
        }
        ErrorKind::Loading => "try again when it has loaded its data",
        ErrorKind::MaxClients => "raise its maxclients, or close other connections",
        ErrorKind::OutOfMemory => "it is full; raise its maxmemory, or trim and purge, then try again",
        ErrorKind::WrongType => "the key holds something else than a stream; name another with --stream",
        _ => return None,
    })
}
