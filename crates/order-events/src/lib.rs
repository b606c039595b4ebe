//! The order domain of Orderflow: exact amounts, event types, validation, and the JSON and flat-map codecs.
//!
//! An order event travels as a flat map of UTF-8 strings: `type`, `order_id`, `customer`, `amount`,
//! `ts_ms`, then whatever scalars the producer added, then the pipeline's own fields, whose names start
//! with `_`. This crate knows the rules of that map and nothing of Redis or HTTP:
//!
//! - [`parse_body`] and [`parse_event`] turn a producer's JSON into [`OrderEvent`]s, or name every field
//!   that is wrong ([`BodyError`], [`EventProblem`]).
//! - [`OrderEvent::to_fields`] writes the flat map, [`OrderEvent::from_fields`] reads it;
//!   [`EventView::from_fields`] reads it without copying, for hot paths.
//! - [`cloudevents`] is the same in the envelope of CloudEvents 1.0, both ways.
//! - [`Amount`] is money in whole cents. There is no floating point anywhere.
//!
//! ```
//! use order_events::{EventTypes, EventView, ParseContext, parse_event};
//!
//! let types = EventTypes::default();
//! let context = ParseContext { types: &types, now_ms: 1_716_998_413_541 };
//! let json = br#"{"type":"order.paid","order_id":"o-1","customer":"alice","amount":49.5}"#;
//! let event = parse_event(json, &context)?;
//! assert_eq!(event.amount.to_string(), "49.50");
//!
//! let entry: Vec<(String, String)> =
//!     event.to_fields().map(|(name, value)| (name.to_owned(), value.into_owned())).collect();
//! let bytes = entry.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
//! assert_eq!(EventView::from_fields(0, bytes)?.amount, event.amount);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod amount;
pub mod cloudevents;
mod decode_error;
mod event;
mod event_type;
mod field_names;
mod json;
mod limits;
pub mod metadata;
mod problem;
pub mod sample;
mod text;
mod timestamp;
mod view;

pub use amount::{Amount, AmountError, format_cents};
pub use decode_error::DecodeError;
pub use event::OrderEvent;
pub use event_type::{EventType, EventTypes, InvalidEventTypes};
pub use json::{Body, ParseContext, parse_body, parse_event};
pub use limits::{
    MAX_AHEAD_MS, MAX_BATCH_EVENTS, MAX_ENTRY_BYTES, MAX_FIELDS, MAX_METADATA_BYTES, MAX_TEXT_CHARS,
    MAX_TS_MS,
};
pub use problem::{BodyError, EventProblem};
pub use text::TextError;
pub use timestamp::TimestampError;
pub use view::EventView;
