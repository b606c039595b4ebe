//! Who runs a consumer.

use service_kit::Problem;
use stream_core::{Error, ErrorKind, EventStream};

use crate::{app::App, problems};

/// A consumer of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A process holds its name; its levers are at this address.
    Alive { address: String },
    /// Nobody holds its name.
    Dead,
}

/// Finds a consumer.
pub(super) async fn find(app: &App, group: &str, consumer: &str) -> Result<Found, Problem> {
    let registered = app.workers.registered().await?;
    let known = registered.iter().find(|(it, _)| it.group == group && it.consumer == consumer);
    if let Some((known, true)) = known {
        let address = known.holder.as_ref().map(|holder| holder.address.clone()).unwrap_or_default();
        return Ok(Found::Alive { address });
    }
    let listed = match app.stream.consumers(group).await {
        Ok(consumers) => consumers.iter().any(|it| it.name == consumer),
        Err(error) if error.kind() == ErrorKind::NoGroup && known.is_none() => {
            return Err(problems::unknown_group(group));
        }
        Err(error) if error.kind() == ErrorKind::NoGroup => false,
        Err(error) => return Err(problems::redis(&error)),
    };
    if listed || known.is_some() { Ok(Found::Dead) } else { Err(problems::unknown_consumer(group, consumer)) }
}

/// Finds the process of a consumer, which must be alive.
pub(super) async fn address_of(app: &App, group: &str, consumer: &str) -> Result<String, Problem> {
    match find(app, group, consumer).await? {
        Found::Alive { address } => Ok(address),
        Found::Dead => Err(problems::not_alive(consumer)),
    }
}

/// What is pending for a consumer, in the stream and in its group's redrive stream.
pub(super) async fn pending_of(stream: &EventStream, group: &str, consumer: &str) -> Result<u64, Error> {
    let mut pending = 0;
    for stream in [stream, &stream.redrive(group)] {
        match stream.pending_summary(group).await {
            Ok(summary) => {
                let of_it = summary.consumers.into_iter().find(|(name, _)| name == consumer);
                pending += of_it.map_or(0, |(_, pending)| pending);
            }
            Err(error) if error.kind() == ErrorKind::NoGroup => {}
            Err(error) => return Err(error),
        }
    }
    Ok(pending)
}

/// Who could take the entries of a consumer over, which must be there: another one of its group that is alive.
pub(crate) async fn peer(app: &App, group: &str, consumer: &str) -> Result<Option<String>, Problem> {
    find(app, group, consumer).await?;
    let registered = app.workers.registered().await?;
    let mut peers: Vec<_> = registered
        .into_iter()
        .filter(|(it, alive)| *alive && it.group == group && it.consumer != consumer)
        .map(|(peer, _)| peer.consumer)
        .collect();
    peers.sort_unstable();
    Ok(peers.into_iter().next())
}
