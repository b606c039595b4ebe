//! `GET /v1/events`: a page of the stream, as it is or as CloudEvents.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, Serializer};
use service_kit::Problem;
use stream_core::{Entry, Error, EventStream, StreamId};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::{
    accept::preferred,
    cloudevents,
    document::ListAnswers,
    entry_json::EntryJson,
    media_type,
    page_query::{PageParams, PageQuery, cursor_of},
    problems,
    schemas::{EventId, StoredEvent},
};
use crate::app::App;

/// A page that has reached this size ends there, whatever its count: entries can have megabytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Entries asked for at first. As long as they turn out small, each further read asks for more.
const FIRST_READ: usize = 10;
const READ_GROWTH: usize = 4;
/// Entries asked for at most: small ones say nothing about those that come after them, of up to a megabyte each.
const READ_MAX: usize = 64;
/// Entries, and bytes of them, that are looked at for one page, whether they fit its filter or not.
const SCAN_ENTRIES: usize = 10_000;
const SCAN_BYTES: usize = 32 * 1024 * 1024;

/// A page of the stream.
#[derive(Serialize, ToSchema)]
pub(super) struct PageJson {
    #[serde(serialize_with = "entries_json")]
    #[schema(value_type = Vec<StoredEvent>)]
    events: Vec<Entry>,
    /// Give it back as `cursor`, the other parameters unchanged; `null` at the end of the range.
    #[schema(value_type = Option<EventId>, required)]
    next: Option<StreamId>,
    /// How many events were looked at, those that do not fit the filter included.
    scanned: usize,
}

/// A page of the stream
///
/// From `start` to `end`, both included, oldest or newest first. `next` goes back as `cursor` until it is `null`. A page ends before
/// `count` where its events are large (about 4 MiB), and the last one may be empty.
///
/// With `type` or `order_id`, only events that fit are given; those that do not are read all the same. A page looks at no more than
/// 10,000 events, 32 MiB or half of `producer.request_deadline`: then it comes short, possibly empty, with `next` to go on. `scanned`
/// says how many events it looked at.
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "listEvents",
    tag = "reading",
    params(PageParams),
    responses(ListAnswers)
)]
pub(super) async fn list_events(
    State(app): State<App>,
    pairs: Result<Query<Vec<(String, String)>>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let begun = Instant::now();
    let deadline = app.deadline();
    let form = preferred(&headers, &[media_type::JSON, media_type::CLOUDEVENTS_BATCH])?;
    let Query(pairs) = pairs?;
    let query = PageQuery::parse(&pairs)?;
    let scan_until = begun + (deadline - begun) / 2;
    match timeout_at(deadline, read(app.stream(), query, scan_until)).await {
        Ok(Ok(page)) => {
            let head = [(header::CONTENT_TYPE, form), (header::VARY, "accept")];
            if form == media_type::JSON {
                return Ok((head, Json(page)).into_response());
            }
            let link = page.next.map(|cursor| [(header::LINK, next_link(&uri, cursor))]);
            let stream = app.stream().key();
            let events: Vec<_> =
                page.events.iter().map(|entry| cloudevents::of_entry(entry, stream)).collect();
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
async fn read(stream: &EventStream, query: PageQuery, scan_until: Instant) -> Result<PageJson, Error> {
    let PageQuery { range, count, filter } = query;
    let (mut events, mut bytes) = (Vec::new(), 0);
    let (mut next, mut step) = (Some(range), FIRST_READ);
    let (mut scanned, mut scanned_bytes) = (0, 0);
    while let Some(rest) = next {
        let is_full = events.len() >= count || bytes >= PAGE_BYTES;
        let is_enough = scanned >= SCAN_ENTRIES || scanned_bytes >= SCAN_BYTES;
        if is_full || is_enough || (scanned > 0 && Instant::now() >= scan_until) {
            break;
        }
        let most = if filter.is_everything() { count - events.len() } else { SCAN_ENTRIES - scanned };
        let page = stream.range(rest, step.min(most)).await?;
        let last = page.entries.last().map(|entry| entry.id);
        next = page.next;
        for entry in page.entries {
            let (id, size) = (entry.id, entry.fields.byte_len());
            (scanned, scanned_bytes) = (scanned + 1, scanned_bytes + size);
            if !filter.fits(&entry) {
                continue;
            }
            events.push(entry);
            bytes += size;
            // What was read beyond a full page is read again for the next one.
            if events.len() == count {
                next = if last == Some(id) { next } else { rest.after(id) };
                break;
            }
        }
        step = (step * READ_GROWTH).min(READ_MAX);
    }
    Ok(PageJson { events, next: next.map(cursor_of), scanned })
}

fn entries_json<S: Serializer>(entries: &[Entry], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(entries.iter().map(EntryJson))
}
