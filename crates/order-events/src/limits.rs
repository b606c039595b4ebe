//! Every limit of an event, in one place.

/// Most events in one JSON array.
pub const MAX_BATCH_EVENTS: usize = 1_000;

/// Most fields in one JSON event, required ones included.
pub const MAX_FIELDS: usize = 64;

/// Most bytes of one entry: the sum of its field names and values, metadata not counted.
///
/// Metadata has a limit of its own, [`MAX_METADATA_BYTES`], so that what the pipeline adds can never turn an
/// accepted event into a poison entry.
pub const MAX_ENTRY_BYTES: usize = 1_048_576;

/// Most bytes of the metadata (`_…` names and values) of one entry.
pub const MAX_METADATA_BYTES: usize = 65_536;

/// Most characters (not bytes) of `type`, `order_id` and `customer`.
pub const MAX_TEXT_CHARS: usize = 128;

/// How far ahead of the receiver's clock a producer's `ts_ms` may be, in milliseconds (24 h).
pub const MAX_AHEAD_MS: u64 = 24 * 60 * 60 * 1_000;

/// The largest `ts_ms` there is: 9999-12-30T22:00:00.999Z in Unix milliseconds.
///
/// Calendar libraries end there, and it keeps an event time in microseconds from being taken for one in
/// milliseconds.
pub const MAX_TS_MS: u64 = 253_402_207_200_999;
