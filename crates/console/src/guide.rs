//! What the guide's demo asks for and gives, put together from ours.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use service_kit::Problem;
use stream_core::{Error, ErrorKind, PendingFilter};
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::App,
    entry_json::EntryJson,
    live::state::{ConsumerState, GroupState, Recent, State},
    looking::pending::PendingJson,
    problems,
};

/// Pending entries of each group that the state lists.
const PENDING_MAX: usize = 50;

/// An entry whose fields are an object; of a name that is there more than once the last value.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DemoEntry {
    pub(crate) id: String,
    pub(crate) fields: BTreeMap<String, String>,
}

impl From<&EntryJson> for DemoEntry {
    fn from(entry: &EntryJson) -> Self {
        Self { id: entry.id.clone(), fields: entry.fields.iter().cloned().collect() }
    }
}

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Replay {
    /// `-` if left out.
    pub(crate) start: Option<String>,
    /// `+` if left out.
    pub(crate) end: Option<String>,
    /// 20 if left out; 1 to 500.
    #[param(value_type = Option<i64>)]
    pub(crate) count: Option<String>,
}

/// The demo's state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DemoState {
    stream: DemoStream,
    /// The ten newest entries, the newest first.
    tail: Vec<DemoEntry>,
    groups: Vec<DemoGroup>,
    /// At most 50 of each group.
    pending: Vec<DemoPending>,
    stats: DemoStats,
}

#[derive(Debug, Serialize, ToSchema)]
struct DemoStream {
    length: u64,
    last_generated_id: String,
    first_entry_id: Option<String>,
    last_entry_id: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct DemoGroup {
    name: String,
    consumers: usize,
    pending: u64,
    last_delivered_id: String,
    /// `null` if unknown.
    lag: Option<u64>,
    consumers_detail: Vec<DemoConsumer>,
}

#[derive(Debug, Serialize, ToSchema)]
struct DemoConsumer {
    name: String,
    group: String,
    processed: u64,
    reaped: u64,
    crashed_drops: u64,
    paused: bool,
    crash_queued: u64,
    alive: bool,
    pending: u64,
    idle_ms: u64,
    recent: Vec<DemoRecent>,
}

#[derive(Debug, Serialize, ToSchema)]
struct DemoRecent {
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    fields: BTreeMap<String, String>,
    acked: bool,
    note: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct DemoPending {
    group: String,
    consumer: String,
    id: String,
    idle_ms: u64,
    deliveries: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the demo's names")]
struct DemoStats {
    produced_total: u64,
    acked_total: u64,
    claimed_total: u64,
}

/// The state now. Where Redis is away there is none: empty values would look like an empty stream.
pub(crate) async fn state(app: &App) -> Result<DemoState, Problem> {
    let snapshot = app.live.now().await?;
    let state = &snapshot.state;
    if !state.redis.available {
        return Err(problems::redis_away(state.redis.reason.as_deref().unwrap_or_default()));
    }
    let pending = pending(app, state).await.map_err(|error| problems::redis(&error))?;
    let stream = state.stream.as_ref();
    Ok(DemoState {
        stream: DemoStream {
            length: stream.map_or(0, |stream| stream.length),
            last_generated_id: stream.map_or_else(|| "0-0".to_owned(), |it| it.last_generated_id.clone()),
            first_entry_id: stream.and_then(|stream| stream.first_id.clone()),
            last_entry_id: stream.and_then(|stream| stream.last_id.clone()),
        },
        tail: state.tail.iter().map(DemoEntry::from).collect(),
        groups: state.groups.iter().map(group).collect(),
        pending,
        stats: DemoStats {
            produced_total: state.totals.produced,
            acked_total: state.totals.counters.acked,
            claimed_total: state.totals.counters.claimed,
        },
    })
}

async fn pending(app: &App, state: &State) -> Result<Vec<DemoPending>, Error> {
    let mut pending = Vec::new();
    for group in &state.groups {
        let filter = PendingFilter { count: PENDING_MAX, ..PendingFilter::default() };
        let rows = match app.stream.pending(&group.name, &filter).await {
            Err(error) if error.kind() == ErrorKind::NoGroup => continue,
            rows => rows?,
        };
        pending.extend(rows.iter().map(PendingJson::from).map(|row| DemoPending {
            group: group.name.clone(),
            consumer: row.consumer,
            id: row.id,
            idle_ms: row.idle_ms.unwrap_or(0),
            deliveries: row.deliveries,
        }));
    }
    Ok(pending)
}

fn group(group: &GroupState) -> DemoGroup {
    DemoGroup {
        name: group.name.clone(),
        consumers: group.consumers.len(),
        pending: group.pending,
        last_delivered_id: group.last_delivered_id.clone(),
        lag: group.lag,
        consumers_detail: group.consumers.iter().map(|it| consumer(&group.name, it)).collect(),
    }
}

fn consumer(group: &str, consumer: &ConsumerState) -> DemoConsumer {
    let counters = consumer.counters.unwrap_or_default();
    DemoConsumer {
        name: consumer.name.clone(),
        group: group.to_owned(),
        processed: counters.processed,
        reaped: counters.claimed,
        crashed_drops: consumer.dropped.unwrap_or(0),
        paused: consumer.paused.unwrap_or(false),
        crash_queued: consumer.drop_next.unwrap_or(0),
        alive: consumer.alive,
        pending: consumer.pending,
        idle_ms: consumer.idle_ms.unwrap_or(0),
        recent: consumer.recent.iter().map(recent).collect(),
    }
}

fn recent(recent: &Recent) -> DemoRecent {
    let acked = recent.outcome == "acked";
    let note = match &recent.reason {
        _ if acked => String::new(),
        Some(reason) => reason.clone(),
        None => recent.outcome.clone(),
    };
    DemoRecent {
        id: recent.id.clone(),
        event_type: recent.event_type.clone().unwrap_or_default(),
        fields: recent.fields.iter().flatten().cloned().collect(),
        acked,
        note,
    }
}
