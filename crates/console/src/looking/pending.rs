//! A page of what a group was handed and has not acked (XPENDING).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use service_kit::Problem;
use stream_core::{ErrorKind, PendingFilter, PendingRow, StreamId};
use utoipa::{IntoParams, ToSchema};

use super::entries::{count, full_id};
use crate::{app::App, problems};

const COUNT_DEFAULT: usize = 50;
const COUNT_MAX: usize = 1_000;

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Pending {
    /// Only what this consumer holds.
    pub(crate) consumer: Option<String>,
    /// Only what has been idle for so long.
    pub(crate) min_idle_ms: Option<u64>,
    /// Only what comes after this ID: the `next` of the page before.
    pub(crate) after: Option<String>,
    /// From 1 to 1000; 50 if left out.
    pub(crate) count: Option<usize>,
}

/// A page of pending entries, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PendingPage {
    pub(crate) entries: Vec<PendingJson>,
    /// The `after` of the next page; `null` at the end.
    pub(crate) next: Option<String>,
}

/// A pending entry.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct PendingJson {
    pub(crate) id: String,
    pub(crate) consumer: String,
    /// Time since it was delivered or its lease renewed; `null` for one that was given back explicitly.
    pub(crate) idle_ms: Option<u64>,
    pub(crate) deliveries: u64,
}

impl From<&PendingRow> for PendingJson {
    fn from(row: &PendingRow) -> Self {
        Self {
            id: row.id.to_string(),
            consumer: row.consumer.clone(),
            idle_ms: (row.idle != Duration::MAX).then_some(row.idle.as_millis() as u64),
            deliveries: row.deliveries,
        }
    }
}

/// Reads a page.
pub(crate) async fn page(app: &App, group: &str, query: &Pending) -> Result<PendingPage, Problem> {
    let count = count(query.count, COUNT_DEFAULT, COUNT_MAX)?;
    let after = query.after.as_deref().map(full_id).transpose()?;
    let Some(start) = after.map_or(Some(StreamId::MIN), StreamId::next) else {
        return Ok(PendingPage { entries: Vec::new(), next: None });
    };
    let filter = PendingFilter {
        min_idle: query.min_idle_ms.map(Duration::from_millis),
        start,
        count,
        consumer: query.consumer.as_deref(),
        ..PendingFilter::default()
    };
    let rows = app.stream.pending(group, &filter).await.map_err(|error| match error.kind() {
        ErrorKind::NoGroup => problems::unknown_group(group),
        _ => problems::redis(&error),
    })?;
    let next = (rows.len() == count).then(|| rows.last().map(|row| row.id.to_string())).flatten();
    Ok(PendingPage { entries: rows.iter().map(PendingJson::from).collect(), next })
}
