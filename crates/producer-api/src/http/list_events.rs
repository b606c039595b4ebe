//! `GET /v1/events`: a page of the stream, as it is or as CloudEvents.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, Serializer};
use service_kit::Problem;
use stream_core::{Entry, Error, EventStream, Page, StreamId};
use tokio::time::timeout_at;

use super::{
    accept::preferred,
    cloudevents,
    entry_json::EntryJson,
    media_type,
    page_query::{PageQuery, cursor_of},
    problems,
};
use crate::app::App;

/// A page that has reached this size ends there, whatever its count: entries can have megabytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Entries asked for at first. As long as they turn out small, each further read asks for more.
const FIRST_READ: usize = 10;
const READ_GROWTH: usize = 4;
/// Entries asked for at most: small ones say nothing about those that come after them, of up to a megabyte each.
const READ_MAX: usize = 64;

#[derive(Serialize)]
struct PageJson {
    #[serde(serialize_with = "entries_json")]
    events: Vec<Entry>,
    /// Give it back as `cursor`, the other parameters unchanged; `null` at the end of the range.
    next: Option<StreamId>,
}

/// The next page of the range asked for.
pub(super) async fn list_events(
    State(app): State<App>,
    pairs: Result<Query<Vec<(String, String)>>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let deadline = app.deadline();
    let form = preferred(&headers, &[media_type::JSON, media_type::CLOUDEVENTS_BATCH])?;
    let Query(pairs) = pairs?;
    let query = PageQuery::parse(&pairs)?;
    match timeout_at(deadline, read(app.stream(), query)).await {
        Ok(Ok(page)) => {
            let (entries, next) = (page.entries, page.next.map(cursor_of));
            let head = [(header::CONTENT_TYPE, form), (header::VARY, "accept")];
            if form == media_type::JSON {
                return Ok((head, Json(PageJson { events: entries, next })).into_response());
            }
            let link = next.map(|cursor| [(header::LINK, next_link(&uri, cursor))]);
            let stream = app.stream().key();
            let events: Vec<_> = entries.iter().map(|entry| cloudevents::of_entry(entry, stream)).collect();
            Ok((head, link, Json(events)).into_response())
        }
        Ok(Err(error)) => {
            app.metrics().redis_error(error.kind());
            Err(problems::not_read(&error))
        }
        Err(_) => Err(problems::deadline()),
    }
}

/// Where the page goes on (RFC 8288): a batch of CloudEvents has no room for a cursor.
fn next_link(uri: &Uri, cursor: StreamId) -> String {
    let kept = uri.query().unwrap_or_default().split('&');
    let kept = kept.filter(|pair| !pair.is_empty() && pair.split('=').next() != Some("cursor"));
    let cursor = format!("cursor={cursor}");
    let pairs: Vec<&str> = kept.chain([cursor.as_str()]).collect();
    format!("<{}?{}>; rel=\"next\"", uri.path(), pairs.join("&"))
}

/// Reads in steps, so that neither a reply nor the page grows far beyond its bound in bytes.
async fn read(stream: &EventStream, query: PageQuery) -> Result<Page, Error> {
    let PageQuery { range, count } = query;
    let mut entries = Vec::new();
    let (mut next, mut step, mut bytes) = (Some(range), FIRST_READ, 0);
    while let Some(rest) = next.filter(|_| entries.len() < count && bytes < PAGE_BYTES) {
        let mut page = stream.range(rest, step.min(count - entries.len())).await?;
        bytes += page.entries.iter().map(size).sum::<usize>();
        entries.append(&mut page.entries);
        next = page.next;
        step = (step * READ_GROWTH).min(READ_MAX);
    }
    Ok(Page { entries, next })
}

fn size(entry: &Entry) -> usize {
    entry.fields.iter().map(|(name, value)| name.len() + value.len()).sum()
}

fn entries_json<S: Serializer>(entries: &[Entry], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(entries.iter().map(EntryJson))
}
