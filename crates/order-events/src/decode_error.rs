//! Why an entry of the stream is poison.

use crate::{
    amount::AmountError,
    limits::{MAX_ENTRY_BYTES, MAX_METADATA_BYTES},
    text::TextError,
    timestamp::TimestampError,
};

/// Why an entry's fields are not an order event: it is a poison entry and belongs in the dead letters.
///
/// Each message names the field and what was wrong with it; none repeats more of the payload than a few dozen
/// characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A required field is not there.
    #[error("{field}: is missing; required are type, order_id, customer and amount")]
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// `type`, `order_id` or `customer` is not 1 to 128 printable characters.
    #[error("{field}: {problem}")]
    Text {
        /// The field's name.
        field: &'static str,
        /// What is wrong with its value.
        problem: TextError,
    },
    /// `amount` is not an exact amount.
    #[error("amount: {0}")]
    Amount(AmountError),
    /// `ts_ms`, or the entry ID's milliseconds in its place, is not an event time.
    #[error("ts_ms: {0}")]
    Timestamp(TimestampError),
    /// A field's name is not UTF-8.
    #[error("the name of field {position} is not UTF-8: {shown:?}")]
    NameNotUtf8 {
        /// Which field of the entry it is, from 1.
        position: usize,
        /// The name's start, with U+FFFD for what could not be read.
        shown: String,
    },
    /// A field's value is not UTF-8.
    #[error("{field}: is not UTF-8 from byte {valid_bytes} on")]
    ValueNotUtf8 {
        /// The field's name, shortened.
        field: String,
        /// How many bytes of the value can be read before the first that cannot.
        valid_bytes: usize,
    },
    /// A field is there more than once.
    #[error("{field}: is there more than once; allowed: each field once")]
    Duplicate {
        /// The field's name, shortened.
        field: String,
    },
    /// The entry is larger than an event may be.
    #[error("the entry has more than {MAX_ENTRY_BYTES} bytes of fields, the most allowed")]
    TooLarge,
    /// The entry's metadata is larger than it may be.
    #[error("the entry has more than {MAX_METADATA_BYTES} bytes of metadata (`_…` fields), the most allowed")]
    MetadataTooLarge,
}
