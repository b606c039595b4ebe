//! Trimming by hand: by length or up to an ID, whoever still needs what goes.

use serde::{Deserialize, Serialize};
use service_kit::Problem;
use stream_core::{MaxLen, Precision, StreamId};
use utoipa::ToSchema;

use crate::{app::App, problems};

/// Calls of one approximate trim: each removes up to 10,000 entries, so that the server is never held up for long.
const CALLS_MAX: usize = 1_000;

/// Where to trim to: one of both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trim {
    /// Keep so many of the newest entries.
    pub(crate) maxlen: Option<u64>,
    /// Keep what is not older than this ID.
    pub(crate) min_id: Option<String>,
    /// To the entry; else whole internal nodes only, so that up to 99 more may stay.
    #[serde(default)]
    pub(crate) exact: bool,
}

/// What a trim did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Trimmed {
    /// Entries removed.
    pub(crate) deleted: u64,
    /// Entries that are left.
    pub(crate) length: u64,
}

/// Where a trim leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Length(u64),
    Id(StreamId),
}

/// Trims until nothing more goes.
pub(crate) async fn trim(app: &App, trim: &Trim) -> Result<Trimmed, Problem> {
    let precision = if trim.exact { Precision::Exact } else { Precision::Approximate };
    let to = target(trim)?;
    let mut deleted = 0;
    for _ in 0..CALLS_MAX {
        let removed = match to {
            To::Length(entries) => app.stream.trim_to_length(MaxLen { entries, precision }).await,
            To::Id(oldest) => app.stream.trim_before(oldest, precision).await,
        };
        let removed = removed.map_err(|error| problems::redis(&error).with("deleted", deleted))?;
        deleted += removed;
        if removed == 0 || trim.exact {
            break;
        }
    }
    let length =
        app.stream.length().await.map_err(|error| problems::redis(&error).with("deleted", deleted))?;
    Ok(Trimmed { deleted, length })
}

fn target(trim: &Trim) -> Result<To, Problem> {
    match (trim.maxlen, &trim.min_id) {
        (Some(entries), None) => Ok(To::Length(entries)),
        (None, Some(id)) => id.parse().map(To::Id).map_err(|_| {
            problems::invalid_body("min_id: allowed are <milliseconds>-<sequence> and <milliseconds>")
        }),
        _ => Err(problems::invalid_body("say either maxlen or min_id")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trim_leads_to_a_length_or_to_an_id() {
        let read = |json: &str| target(&serde_json::from_str(json).unwrap());
        assert_eq!(read(r#"{"maxlen":0}"#).ok(), Some(To::Length(0)));
        assert_eq!(read(r#"{"min_id":"5-1"}"#).ok(), Some(To::Id(StreamId::new(5, 1))));
        assert_eq!(read(r#"{"min_id":"5","exact":true}"#).ok(), Some(To::Id(StreamId::new(5, 0))));
        for wrong in ["{}", r#"{"maxlen":1,"min_id":"5-1"}"#, r#"{"min_id":"x"}"#] {
            assert_eq!(read(wrong).unwrap_err().status().as_u16(), 422, "{wrong}");
        }
    }
}
