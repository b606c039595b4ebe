//! Which consumers are alive, and what an operator is told who has named another.

use stream_core::{Error, ErrorKind, RegisteredConsumer};

use crate::{output::printable, redis_access::Access};

/// The consumer as its process has registered it, if its name is leased.
pub(super) async fn registered(
    access: &Access,
    group: &str,
    consumer: &str,
) -> anyhow::Result<Option<RegisteredConsumer>> {
    let alive = access.stream.consumers_alive(group, &[consumer]).await;
    if alive.map_err(|error| access.explain(&error))? != [true] {
        return Ok(None);
    }
    let registered = access.stream.registered_consumers().await.map_err(|error| access.explain(&error))?;
    Ok(registered.into_iter().find(|it| it.group == group && it.consumer == consumer))
}

/// Says that a consumer is not alive, and which are.
pub(super) async fn not_alive(access: &Access, group: &str, consumer: &str) -> anyhow::Error {
    let consumers = match access.stream.consumers(group).await {
        Ok(consumers) => consumers,
        Err(error) => return explain(access, group, &error).await,
    };
    // A stream that does not exist has no consumers either.
    if consumers.is_empty()
        && let Err(error) = access.group_exists(group).await
    {
        return error;
    }
    let names: Vec<&str> = consumers.iter().map(|it| it.name.as_str()).collect();
    let alive = match access.stream.consumers_alive(group, &names).await {
        Ok(alive) => alive,
        Err(error) => return access.explain(&error),
    };
    let live: Vec<String> =
        names.iter().zip(alive).filter(|(_, alive)| *alive).map(|(name, _)| printable(name)).collect();
    let live = if live.is_empty() { "none is".to_owned() } else { format!("alive: {}", live.join(", ")) };
    anyhow::anyhow!("the group {} has no live consumer {}; {live}", printable(group), printable(consumer))
}

/// A group that does not exist is most often a slip of the pen: names those that do.
pub(super) async fn explain(access: &Access, group: &str, error: &Error) -> anyhow::Error {
    if error.kind() != ErrorKind::NoGroup {
        return access.explain(error);
    }
    access.no_such_group(group).await
}

/// Fails if the group has no such consumer, and names those that it has.
pub(super) async fn consumer_exists(access: &Access, group: &str, consumer: &str) -> anyhow::Result<()> {
    let consumers = match access.stream.consumers(group).await {
        Ok(consumers) => consumers,
        Err(error) => return Err(explain(access, group, &error).await),
    };
    // A stream that does not exist has no consumers either.
    if consumers.is_empty()
        && let Err(error) = access.group_exists(group).await
    {
        return Err(error);
    }
    let names: Vec<&str> = consumers.iter().map(|it| it.name.as_str()).collect();
    if names.contains(&consumer) {
        return Ok(());
    }
    let known = if names.is_empty() {
        "it has none".to_owned()
    } else {
        format!("it has: {}", names.iter().map(|name| printable(name)).collect::<Vec<_>>().join(", "))
    };
    anyhow::bail!("the group {} has no consumer {consumer:?}; {known}", printable(group))
}
