//! A page of the stream.

use serde::{Deserialize, Serialize};
use service_kit::{Problem, query::quoted};
use stream_core::{Direction, Entry, Error, EventStream, Page, RangeQuery, StreamId};
use utoipa::{IntoParams, ToSchema};

use crate::{app::App, entry_json::EntryJson, problems};

const COUNT_DEFAULT: usize = 50;
const COUNT_MAX: usize = 1_000;
/// A page that has reached this size ends there, whatever its count: entries can have megabytes.
const PAGE_BYTES: usize = 4 << 20;
/// Entries asked for at first. As long as they turn out small, each further read asks for more.
const FIRST_READ: usize = 10;
const READ_GROWTH: usize = 4;

/// Which way to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// Oldest first.
    #[default]
    Asc,
    /// Newest first.
    Desc,
}

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Entries {
    /// The oldest one wanted: `-`, an ID, or bare milliseconds.
    pub(crate) start: Option<String>,
    /// The newest one wanted: `+`, an ID, or bare milliseconds.
    pub(crate) end: Option<String>,
    /// From 1 to 1000; 50 if left out.
    pub(crate) count: Option<usize>,
    #[serde(default)]
    #[param(inline)]
    pub(crate) order: Order,
}

/// A page of entries.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EntriesPage {
    pub(crate) entries: Vec<EntryJson>,
    /// The `start` (`asc`) or `end` (`desc`) of the next page; `null` at the end.
    pub(crate) next: Option<String>,
}

/// Reads a page.
pub(crate) async fn page(app: &App, query: &Entries) -> Result<EntriesPage, Problem> {
    let count = count(query.count, COUNT_DEFAULT, COUNT_MAX)?;
    let range = RangeQuery {
        start: query.start.as_deref().map_or(Ok(StreamId::MIN), |text| bound("start", text, 0))?,
        end: query.end.as_deref().map_or(Ok(StreamId::MAX), |text| bound("end", text, u64::MAX))?,
        direction: match query.order {
            Order::Asc => Direction::Forward,
            Order::Desc => Direction::Backward,
        },
    };
    let page = read(&app.stream, range, count, PAGE_BYTES).await.map_err(|error| problems::redis(&error))?;
    let next = page.next.map(|rest| cursor(rest).to_string());
    Ok(EntriesPage { entries: page.entries.iter().map(EntryJson::from).collect(), next })
}

/// Reads in steps, so that neither a reply nor the page grows far beyond `bytes_max`.
pub(super) async fn read(
    stream: &EventStream,
    range: RangeQuery,
    count: usize,
    bytes_max: usize,
) -> Result<Page, Error> {
    let mut entries: Vec<Entry> = Vec::new();
    let (mut next, mut step, mut bytes) = (Some(range), FIRST_READ, 0);
    while let Some(rest) = next.filter(|_| entries.len() < count && bytes < bytes_max) {
        let mut page = stream.range(rest, step.min(count - entries.len())).await?;
        bytes += page.entries.iter().map(size).sum::<usize>();
        entries.append(&mut page.entries);
        next = page.next;
        step *= READ_GROWTH;
    }
    Ok(Page { entries, next })
}

/// Bytes of names and values.
pub(super) fn size(entry: &Entry) -> usize {
    entry.fields.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// Where the rest of a range begins.
pub(super) fn cursor(rest: RangeQuery) -> StreamId {
    match rest.direction {
        Direction::Forward => rest.start,
        Direction::Backward => rest.end,
    }
}

/// A count within its bounds.
pub(super) fn count(asked: Option<usize>, default: usize, max: usize) -> Result<usize, Problem> {
    let count = asked.unwrap_or(default);
    if (1..=max).contains(&count) {
        Ok(count)
    } else {
        Err(problems::invalid_query(format!("count: {count} is not allowed; allowed: 1 to {max}")))
    }
}

/// A bare millisecond means its first ID as a start and its last as an end, as in Redis; `seq` is which.
pub(crate) fn bound(name: &str, text: &str, seq: u64) -> Result<StreamId, Problem> {
    match text {
        "-" => Ok(StreamId::MIN),
        // An unescaped + in a query string arrives as a space.
        "+" | " " => Ok(StreamId::MAX),
        _ => {
            let id: StreamId = text.parse().map_err(|_| {
                let allowed = "allowed: -, +, an ID (<milliseconds>-<sequence>) or <milliseconds>";
                problems::invalid_query(format!("{name}: {} is no ID; {allowed}", quoted(text)))
            })?;
            Ok(if text.contains('-') { id } else { StreamId::new(id.ms, seq) })
        }
    }
}

/// A full ID; a bare millisecond names no entry.
pub(crate) fn full_id(text: &str) -> Result<StreamId, Problem> {
    text.contains('-').then(|| text.parse().ok()).flatten().ok_or_else(|| {
        let detail = format!("{} is not an ID; expected <milliseconds>-<sequence>", quoted(text));
        Problem::new(axum::http::StatusCode::BAD_REQUEST, "/problems/invalid-id", "Invalid ID").detail(detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_as_redis_reads_them() {
        assert_eq!(bound("start", "-", 0).unwrap(), StreamId::MIN);
        assert_eq!(bound("end", " ", u64::MAX).unwrap(), StreamId::MAX);
        assert_eq!(bound("end", "5", u64::MAX).unwrap(), StreamId::new(5, u64::MAX));
        assert_eq!(bound("start", "5-3", 0).unwrap(), StreamId::new(5, 3));
        assert_eq!(bound("start", "five", 0).unwrap_err().kind(), "/problems/invalid-query");
    }

    #[test]
    fn only_full_ids_name_an_entry() {
        assert_eq!(full_id("5-1").unwrap(), StreamId::new(5, 1));
        for text in ["5", "", "-", "+", "5-", "five-1"] {
            assert_eq!(full_id(text).unwrap_err().status().as_u16(), 400, "{text}");
        }
    }
}
