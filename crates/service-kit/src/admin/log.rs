//! What is logged, and changing it while the service runs.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use jiff::{SpanRelativeTo, fmt::friendly::SpanParser};
use serde::Deserialize;
use serde_json::{Value, json};

use super::routes::Body;
use crate::{
    Problem,
    telemetry::{FilterError, LogFilter},
};

/// A change. Without `for` it lasts until the next one, or a restart.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    filter: String,
    #[serde(rename = "for")]
    lasting: Option<String>,
}

pub(super) async fn show(State(log): State<LogFilter>) -> Json<Value> {
    let status = log.status();
    Json(json!({
        "filter": status.filter,
        "configured": status.configured,
        "reverts_in_seconds": status.reverts_in.map(|wait| wait.as_secs()),
    }))
}

pub(super) async fn set(
    State(log): State<LogFilter>,
    Body(Change { filter, lasting }): Body<Change>,
) -> Result<Json<Value>, Problem> {
    let lasting = lasting.map(|text| duration(&text).ok_or(FilterError::Time)).transpose()?;
    log.set(&filter, lasting)?;
    Ok(show(State(log)).await)
}

pub(super) async fn reset(State(log): State<LogFilter>) -> Result<Json<Value>, Problem> {
    log.reset()?;
    Ok(show(State(log)).await)
}

/// A duration as in the configuration, e.g. `90s` or `10m`.
fn duration(text: &str) -> Option<Duration> {
    let span = SpanParser::new().parse_span(text.trim()).ok()?;
    span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?.try_into().ok()
}

impl From<FilterError> for Problem {
    fn from(error: FilterError) -> Self {
        let (status, kind, title) = match error {
            FilterError::Gone => {
                (StatusCode::INTERNAL_SERVER_ERROR, "/problems/internal-error", "Internal error")
            }
            _ => (StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-filter", "Not a filter of the log"),
        };
        Self::new(status, kind, title).detail(error.to_string())
    }
}
