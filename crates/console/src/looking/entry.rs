//! One entry: its fields, and where each group stands with it.

use serde::Serialize;
use service_kit::Problem;
use stream_core::{
    DeadLetterFilter, DeadLetterQuery, Error, EventStream, GroupInfo, PendingFilter, PendingRow, StreamId,
};
use utoipa::ToSchema;

use crate::{
    app::App,
    entry_json::pairs,
    live::state::{GroupState, State},
    looking::pending::PendingJson,
    problems,
};

/// Groups that are looked at.
const GROUPS_MAX: usize = 50;
/// Dead letters that are looked at to find the entry's.
const LETTERS_MAX: usize = 10_000;

/// An entry.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EntryPage {
    pub(crate) id: String,
    /// Its fields as pairs; `null` if it is not, or no longer, in the stream.
    #[schema(value_type = Option<Vec<Vec<String>>>)]
    pub(crate) fields: Option<Vec<(String, String)>>,
    pub(crate) groups: Vec<EntryInGroup>,
}

/// An entry as a group sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EntryInGroup {
    pub(crate) group: String,
    pub(crate) state: EntryState,
    /// Who holds it.
    pub(crate) consumer: Option<String>,
    pub(crate) idle_ms: Option<u64>,
    pub(crate) deliveries: Option<u64>,
    /// The ID of its dead letter.
    pub(crate) dead_letter_id: Option<String>,
}

/// Where a group stands with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EntryState {
    /// It was not handed it yet.
    Undelivered,
    /// It was handed it, and has not acked it.
    Pending,
    /// It has failed, and waits for its next attempt.
    WaitingForRetry,
    /// It could not be handled.
    DeadLetter,
    /// It could not be handled, was sent back, and is not settled yet.
    SentBack,
    /// It is settled.
    Done,
    /// It is not in the stream any more, and the group was not handed it as far as anybody knows.
    Gone,
    /// It may be among dead letters that are too many to be looked through.
    Unknown,
}

/// Looks for an entry everywhere.
pub(crate) async fn entry(app: &App, id: StreamId) -> Result<EntryPage, Problem> {
    // What waits for a retry only its process can tell; that is part of the live state, if that can be had.
    let live = app.live.now().await.ok();
    let state = live.as_ref().map(|snapshot| &snapshot.state);
    look(&app.stream, id, state).await.map_err(|error| problems::redis(&error))
}

async fn look(stream: &EventStream, id: StreamId, state: Option<&State>) -> Result<EntryPage, Error> {
    let fields = stream.get(id).await?.map(|entry| pairs(&entry.fields));
    let mut groups = Vec::new();
    for group in stream.groups().await?.iter().take(GROUPS_MAX) {
        let of_group = |state: &State| state.groups.iter().find(|it| it.name == group.name).cloned();
        groups.push(in_group(stream, id, group, fields.is_some(), state.and_then(of_group).as_ref()).await?);
    }
    Ok(EntryPage { id: id.to_string(), fields, groups })
}

async fn in_group(
    stream: &EventStream,
    id: StreamId,
    group: &GroupInfo,
    exists: bool,
    live: Option<&GroupState>,
) -> Result<EntryInGroup, Error> {
    let name = &group.name;
    let mut found = EntryInGroup {
        group: name.clone(),
        state: EntryState::Done,
        consumer: None,
        idle_ms: None,
        deliveries: None,
        dead_letter_id: None,
    };
    if let Some(row) = row(stream, name, id).await? {
        found.state = if waits(live, &row) { EntryState::WaitingForRetry } else { EntryState::Pending };
        return Ok(found.held(&row));
    }
    if id > group.last_delivered_id {
        found.state = if exists { EntryState::Undelivered } else { EntryState::Gone };
        return Ok(found);
    }
    let letters = stream.dead_letters(name);
    let query = DeadLetterQuery {
        filter: DeadLetterFilter { entry_id: Some(id), ..DeadLetterFilter::default() },
        limit: 1,
        scan_max: LETTERS_MAX,
        ..DeadLetterQuery::default()
    };
    let page = letters.page(&query).await?;
    if let Some(letter) = page.letters.first() {
        found.state = EntryState::DeadLetter;
        found.dead_letter_id = Some(letter.id.to_string());
        found.deliveries = Some(letter.deliveries);
        return Ok(found);
    }
    let whereabouts = letters.whereabouts(id).await?;
    if let Some(redriven) = whereabouts.redriven_as.last() {
        found.state = EntryState::SentBack;
        let row = row(&stream.redrive(name), name, *redriven).await?;
        return Ok(match row {
            Some(row) => found.held(&row),
            None => found,
        });
    }
    if page.stopped_early || whereabouts.redrives_unknown {
        found.state = EntryState::Unknown;
    }
    Ok(found)
}

impl EntryInGroup {
    fn held(self, row: &PendingRow) -> Self {
        let PendingJson { consumer, idle_ms, deliveries, .. } = row.into();
        Self { consumer: Some(consumer), idle_ms, deliveries: Some(deliveries), ..self }
    }
}

/// The entry's row in the group's pending list.
async fn row(stream: &EventStream, group: &str, id: StreamId) -> Result<Option<PendingRow>, Error> {
    let filter = PendingFilter { start: id, end: id, count: 1, ..PendingFilter::default() };
    match stream.pending(group, &filter).await {
        Ok(mut rows) => Ok(rows.pop()),
        Err(error) if error.kind() == stream_core::ErrorKind::NoGroup => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the last that its consumer tells of it is that it is to be tried again.
fn waits(live: Option<&GroupState>, row: &PendingRow) -> bool {
    let id = row.id.to_string();
    let consumer = live.and_then(|group| group.consumers.iter().find(|it| it.name == row.consumer));
    let last = consumer.and_then(|consumer| consumer.recent.iter().find(|recent| recent.id == id));
    last.is_some_and(|recent| recent.outcome == "retried" && recent.attempt >= row.deliveries)
}
