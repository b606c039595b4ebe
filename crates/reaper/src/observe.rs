//! Observing the stream: one reading of its groups and consumers, managed and foreign.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stream_core::{ConsumerInfo, Error, EventStream, GroupInfo, Lag, StreamId, StreamInfo};

/// A reading of the whole stream.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) stream: StreamInfo,
    pub(crate) groups: Vec<ObservedGroup>,
}

/// A reading of one group.
#[derive(Debug)]
pub(crate) struct ObservedGroup {
    pub(crate) info: GroupInfo,
    pub(crate) lag: Lag,
    /// Age of the oldest entry it was not handed; zero if there is none.
    pub(crate) lag_age: Duration,
    /// Age of the oldest entry it has not acked; zero if there is none.
    pub(crate) oldest_pending_age: Duration,
    pub(crate) dead_letters: u64,
    pub(crate) consumers: Vec<ConsumerInfo>,
}

/// Reads everything, a few commands a group.
pub(crate) async fn observe(stream: &EventStream) -> Result<Observation, Error> {
    let info = stream.info().await?;
    let mut groups = Vec::new();
    for group in stream.groups().await? {
        let lag = stream.lag(&info, &group).await?;
        let undelivered = match lag {
            Lag::Known(0) => None,
            _ => stream.oldest_undelivered(&group).await?,
        };
        let pending = stream.pending_summary(&group.name).await?;
        groups.push(ObservedGroup {
            lag,
            lag_age: undelivered.map_or(Duration::ZERO, age),
            oldest_pending_age: pending.range.map_or(Duration::ZERO, |(oldest, _)| age(oldest)),
            dead_letters: stream.dead_letter_count(&group.name).await?,
            consumers: stream.consumers(&group.name).await?,
            info: group,
        });
    }
    Ok(Observation { stream: info, groups })
}

/// Time since the entry was appended, by its ID.
fn age(id: StreamId) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    now.saturating_sub(Duration::from_millis(id.ms))
}
