//! CloudEvents 1.0: order events in the envelope that other systems use.
//!
//! | attribute | entry |
//! | --- | --- |
//! | `id` | `_id`, 1 to 128 printable characters |
//! | `source` | `_source`, a URI reference of at most [`MAX_SOURCE_BYTES`] |
//! | `type` | `type`, one of the allowed types |
//! | `subject` | `order_id`, where the data has none; else, if it differs, `_ce_subject` |
//! | `time` | `ts_ms`, the fraction of a millisecond cut off |
//! | `datacontenttype` | must be JSON; not kept |
//! | `traceparent` | `_traceparent` if it is well-formed |
//! | any other | `_ce_<name>`, as text |
//! | `data` | the entry's fields, by the rules of plain JSON |
//!
//! This module knows the envelope, not HTTP: the headers of the binary mode come to [`parse_binary`] as names and
//! values. [`CloudEvent`] is the way back, from an entry to the envelope.

mod attributes;
mod encode;
mod structured;
mod time;

pub use attributes::{MAX_ATTRIBUTES_BYTES, MAX_SOURCE_BYTES, is_json_media_type};
pub use encode::{CloudEvent, ENTRY_ID, UNREADABLE_TYPE};
pub use structured::{parse_batch, parse_binary, parse_event};
