//! Reads the flat map of an entry, borrowing from it.

use std::str::from_utf8;

use crate::{
    amount::Amount,
    decode_error::DecodeError,
    event_type::EventType,
    field_names::FieldNames,
    limits::{MAX_ENTRY_BYTES, MAX_METADATA_BYTES, MAX_TS_MS},
    text::{check_text, shorten},
    timestamp::{TimestampError, parse_ts_ms},
};

/// What every order event has, borrowed from an entry's fields.
///
/// Reading one allocates nothing for entries of a known type with at most 16 fields. It holds the entry to
/// the same rules as [`OrderEvent::from_fields`](crate::OrderEvent::from_fields).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventView<'a> {
    /// What happened.
    pub event_type: EventType,
    /// The order it happened to.
    pub order_id: &'a str,
    /// Whose order it is.
    pub customer: &'a str,
    /// The money in question.
    pub amount: Amount,
    /// When it happened, in Unix milliseconds.
    pub ts_ms: u64,
}

impl<'a> EventView<'a> {
    /// Reads an entry's fields in any order.
    ///
    /// `entry_ms` is the milliseconds part of the entry's ID, the event time of an entry without `ts_ms`. An
    /// error means that the entry is poison.
    pub fn from_fields(
        entry_ms: u64,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Self, DecodeError> {
        decode(entry_ms, fields, |_, _| {})
    }
}

/// Reads an entry's fields; those that are not in the view go to `further` in the entry's order.
pub(crate) fn decode<'a>(
    entry_ms: u64,
    fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    mut further: impl FnMut(&'a str, &'a str),
) -> Result<EventView<'a>, DecodeError> {
    let (mut event_type, mut order_id, mut customer, mut amount, mut ts_ms) = (None, None, None, None, None);
    let mut names = FieldNames::new();
    let mut size = Size::default();
    for (index, (name, value)) in fields.into_iter().enumerate() {
        size.add(name, value)?;
        let name_text = from_utf8(name).map_err(|_| DecodeError::NameNotUtf8 {
            position: index + 1,
            shown: shorten(&String::from_utf8_lossy(name)),
        })?;
        if !names.insert(name) {
            return Err(DecodeError::Duplicate { field: shorten(name_text) });
        }
        let value = from_utf8(value).map_err(|error| DecodeError::ValueNotUtf8 {
            field: shorten(name_text),
            valid_bytes: error.valid_up_to(),
        })?;
        match name_text {
            "type" => event_type = Some(EventType::from(printable("type", value)?)),
            "order_id" => order_id = Some(printable("order_id", value)?),
            "customer" => customer = Some(printable("customer", value)?),
            "amount" => amount = Some(value.parse().map_err(DecodeError::Amount)?),
            "ts_ms" => ts_ms = Some(parse_ts_ms(value).map_err(DecodeError::Timestamp)?),
            _ => further(name_text, value),
        }
    }
    Ok(EventView {
        event_type: event_type.ok_or(DecodeError::Missing { field: "type" })?,
        order_id: order_id.ok_or(DecodeError::Missing { field: "order_id" })?,
        customer: customer.ok_or(DecodeError::Missing { field: "customer" })?,
        amount: amount.ok_or(DecodeError::Missing { field: "amount" })?,
        ts_ms: match ts_ms {
            Some(ts_ms) => ts_ms,
            None => default_ts_ms(entry_ms)?,
        },
    })
}

fn printable<'a>(field: &'static str, value: &'a str) -> Result<&'a str, DecodeError> {
    check_text(value).map_err(|problem| DecodeError::Text { field, problem })?;
    Ok(value)
}

/// Anyone may write an entry under an explicit ID that is no time at all.
fn default_ts_ms(entry_ms: u64) -> Result<u64, DecodeError> {
    if entry_ms > MAX_TS_MS {
        return Err(DecodeError::Timestamp(TimestampError::TooLarge(entry_ms.to_string())));
    }
    Ok(entry_ms)
}

/// Bytes counted so far, of fields and of metadata.
#[derive(Default)]
struct Size {
    fields: usize,
    metadata: usize,
}

impl Size {
    /// Counts one field; an error once a limit is passed, before anything of it is read.
    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        let bytes = name.len() + value.len();
        if name.starts_with(b"_") {
            self.metadata += bytes;
        } else {
            self.fields += bytes;
        }
        if self.fields > MAX_ENTRY_BYTES {
            return Err(DecodeError::TooLarge);
        }
        if self.metadata > MAX_METADATA_BYTES {
            return Err(DecodeError::MetadataTooLarge);
        }
        Ok(())
    }
}
