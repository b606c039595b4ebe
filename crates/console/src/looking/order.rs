//! One order: what analytics knows of it, and its entries in the stream.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;
use service_kit::Problem;
use stream_core::{Direction, Entry, Error, EventStream, RangeQuery, StreamId};
use utoipa::ToSchema;

use super::entries::{read, size};
use crate::{app::App, entry_json::EntryJson, problems};

/// The newest entries that are looked through: what analytics has not counted, or tells no more, is among them or not found.
const SCANNED_MAX: usize = 10_000;
const SCANNED_BYTES_MAX: usize = 32 << 20;
const PAGE: usize = 1_000;
/// Entries that are shown.
const SHOWN_MAX: usize = 200;

/// An order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderPage {
    /// What analytics-worker answers; `null` if it does not know the order, or does not answer.
    pub(crate) order: Option<Value>,
    /// Why there is no `order`: a problem.
    pub(crate) problem: Option<Value>,
    /// Its entries that are in the stream, the oldest first.
    pub(crate) entries: Vec<EntryJson>,
    /// How many of the newest entries were looked through for it, beside those that analytics knows.
    pub(crate) scanned: usize,
    /// Whether these were all that there are.
    pub(crate) complete: bool,
}

/// Looks for everything of an order.
pub(crate) async fn order(app: &App, order_id: &str) -> Result<OrderPage, Problem> {
    let asked = app.analytics.send(Method::GET, &["v1", "analytics", "orders", order_id], None, None).await;
    let answer = asked.and_then(|answer| match answer.status {
        StatusCode::OK => Ok(answer.json()),
        _ => Err(answer.problem()),
    });
    let known: Vec<StreamId> = answer.iter().flat_map(ids).collect();
    let found = find(&app.stream, order_id, &known).await.map_err(|error| problems::redis(&error))?;
    let (order, problem) = match answer {
        Ok(order) => (Some(order), None),
        Err(problem) => (None, Some(problem.to_json())),
    };
    let entries = found.entries.values().take(SHOWN_MAX).map(EntryJson::from).collect();
    Ok(OrderPage { order, problem, entries, scanned: found.scanned, complete: found.complete })
}

/// The IDs in an order's history.
fn ids(order: &Value) -> Vec<StreamId> {
    let history = order["history"].as_array().into_iter().flatten();
    history.filter_map(|event| event["id"].as_str()?.parse().ok()).take(SHOWN_MAX).collect()
}

struct Found {
    entries: BTreeMap<StreamId, Entry>,
    scanned: usize,
    complete: bool,
}

async fn find(stream: &EventStream, order_id: &str, known: &[StreamId]) -> Result<Found, Error> {
    let known = stream.get_all(known).await?.into_iter().flatten();
    let mut found =
        Found { entries: known.map(|entry| (entry.id, entry)).collect(), scanned: 0, complete: true };
    let mut rest = Some(RangeQuery { direction: Direction::Backward, ..RangeQuery::default() });
    let mut bytes_left = SCANNED_BYTES_MAX;
    while let Some(range) = rest {
        found.complete = found.scanned < SCANNED_MAX && bytes_left > 0;
        if !found.complete {
            break;
        }
        let page = read(stream, range, PAGE, bytes_left).await?;
        rest = page.next;
        for entry in page.entries {
            found.scanned += 1;
            bytes_left = bytes_left.saturating_sub(size(&entry));
            if entry.fields.get("order_id") == Some(order_id.as_bytes()) {
                found.entries.insert(entry.id, entry);
            }
        }
    }
    Ok(found)
}
