//! [`Context`]: what a template can name.

use std::collections::BTreeMap;

use jiff::Timestamp;
use order_events::EventView;
use serde::Serialize;
use stream_core::{Fields, StreamId};

/// What a template can name, all of it text but for `ts_ms`.
#[derive(Debug, Serialize)]
pub(super) struct Context<'a> {
    r#type: &'a str,
    order_id: &'a str,
    customer: &'a str,
    /// With two decimals.
    amount: String,
    /// When it happened, RFC 3339 in UTC.
    time: String,
    /// The same in Unix milliseconds.
    ts_ms: u64,
    /// The entry's ID.
    id: String,
    /// What the text says, for the subject and the HTML.
    text: &'a str,
    /// Every field of the entry that is not named above, but for the pipeline's own.
    fields: BTreeMap<&'a str, &'a str>,
}

impl<'a> Context<'a> {
    pub(super) fn new(id: StreamId, event: &'a EventView<'a>, fields: &'a Fields, text: &'a str) -> Self {
        let further = fields.iter().filter_map(|(name, value)| {
            let (name, value) = (std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?);
            let is_named = matches!(name, "type" | "order_id" | "customer" | "amount" | "ts_ms");
            (!is_named && !name.starts_with('_')).then_some((name, value))
        });
        let time = i64::try_from(event.ts_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        Self {
            r#type: event.event_type.as_str(),
            order_id: event.order_id,
            customer: event.customer,
            amount: event.amount.to_string(),
            time: time.unwrap_or_default().to_string(),
            ts_ms: event.ts_ms,
            id: id.to_string(),
            text,
            fields: further.collect(),
        }
    }
}
