//! Observing the stream: one reading of its groups and consumers, managed and foreign.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stream_core::{ConsumerInfo, Error, ErrorKind, EventStream, GroupInfo, Lag, StreamId, StreamInfo};

/// A reading of the whole stream.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) stream: StreamInfo,
    pub(crate) groups: Vec<ObservedGroup>,
    /// Groups that could not be read, by name.
    pub(crate) failed: Vec<(String, Error)>,
}

/// A reading of one group.
#[derive(Debug)]
pub(crate) struct ObservedGroup {
    pub(crate) info: GroupInfo,
    pub(crate) lag: Lag,
    /// Age of the oldest entry it was not handed; zero if there is none.
    pub(crate) lag_age: Duration,
    /// What has to be asked by its name; `None` for a foreign group that no command of ours can name.
    pub(crate) named: Option<NamedReading>,
}

/// What only a group's name leads to.
#[derive(Debug)]
pub(crate) struct NamedReading {
    /// Age of the oldest entry it has not acked; zero if there is none.
    pub(crate) oldest_pending_age: Duration,
    pub(crate) dead_letters: u64,
    pub(crate) consumers: Vec<ConsumerInfo>,
}

/// Reads everything, a few commands a group. A group that cannot be read does not hide the others.
pub(crate) async fn observe(stream: &EventStream) -> Result<Observation, Error> {
    // The groups first: with an older look at the stream, a busy group would seem to have read all there is.
    let found = stream.groups().await?;
    let info = stream.info().await?;
    let (mut groups, mut failed) = (Vec::new(), Vec::new());
    for group in found {
        match observe_group(stream, &info, &group).await {
            Ok(observed) => groups.push(observed),
            // Destroyed a moment ago.
            Err(error) if error.kind() == ErrorKind::NoGroup => {}
            // No group can be read without a server: better to show nothing than the half of it.
            Err(error)
                if matches!(error.kind(), ErrorKind::Connection | ErrorKind::Timeout | ErrorKind::Tls) =>
            {
                return Err(error);
            }
            Err(error) => failed.push((group.name, error)),
        }
    }
    Ok(Observation { stream: info, groups, failed })
}

async fn observe_group(
    stream: &EventStream,
    info: &StreamInfo,
    group: &GroupInfo,
) -> Result<ObservedGroup, Error> {
    let lag = stream.lag(info, group).await?;
    let undelivered = match lag {
        Lag::Known(0) => None,
        _ => stream.oldest_undelivered(group).await?,
    };
    let named = if group.is_addressable() { Some(read_by_name(stream, &group.name).await?) } else { None };
    let lag_age = undelivered.map_or(Duration::ZERO, age);
    Ok(ObservedGroup { info: group.clone(), lag, lag_age, named })
}

async fn read_by_name(stream: &EventStream, group: &str) -> Result<NamedReading, Error> {
    let pending = stream.pending_summary(group).await?;
    Ok(NamedReading {
        oldest_pending_age: pending.range.map_or(Duration::ZERO, |(oldest, _)| age(oldest)),
        dead_letters: stream.dead_letter_count(group).await?,
        consumers: stream.consumers(group).await?,
    })
}

/// Time since the entry was appended, by its ID.
fn age(id: StreamId) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    now.saturating_sub(Duration::from_millis(id.ms))
}
