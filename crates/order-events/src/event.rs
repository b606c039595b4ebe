//! The order event itself, and its form as a flat map.

use std::{borrow::Cow, iter::once};

use crate::{amount::Amount, decode_error::DecodeError, event_type::EventType, view::decode};

/// Something that happened to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderEvent {
    /// What happened.
    pub event_type: EventType,
    /// The order it happened to: 1 to 128 printable characters.
    pub order_id: String,
    /// Whose order it is: 1 to 128 printable characters.
    pub customer: String,
    /// The money in question.
    pub amount: Amount,
    /// When it happened, in Unix milliseconds.
    pub ts_ms: u64,
    /// Whether the producer did not say when, so that `ts_ms` is the time of receipt: another one whenever the event
    /// is sent again.
    pub ts_ms_is_receipt: bool,
    /// Further fields, in the order the producer sent them. No name starts with `_`.
    pub extra: Vec<(String, String)>,
    /// The pipeline's own fields, whose names start with `_` (`_id`, `_source`, `_traceparent`). Producers
    /// cannot set them: they come from entries or from the pipeline itself.
    pub metadata: Vec<(String, String)>,
}

impl OrderEvent {
    /// The flat map that an entry holds: `type`, `order_id`, `customer`, `amount`, `ts_ms`, then the further
    /// fields, then the metadata. Only `amount` and `ts_ms` are written anew, the rest is borrowed.
    pub fn to_fields(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let borrowed = |name, value| (name, Cow::Borrowed(value));
        let further = self.extra.iter().chain(&self.metadata);
        [
            borrowed("type", self.event_type.as_str()),
            borrowed("order_id", self.order_id.as_str()),
            borrowed("customer", self.customer.as_str()),
        ]
        .into_iter()
        .chain(once(("amount", Cow::Owned(self.amount.to_string()))))
        .chain(once(("ts_ms", Cow::Owned(self.ts_ms.to_string()))))
        .chain(further.map(move |(name, value)| borrowed(name.as_str(), value.as_str())))
    }

    /// Reads an entry's fields in any order; the inverse of [`OrderEvent::to_fields`].
    ///
    /// `entry_ms` is the milliseconds part of the entry's ID, the event time of an entry without `ts_ms`. An
    /// error means that the entry is poison. An unknown type is none, nor is an event time in the future.
    pub fn from_fields<'a>(
        entry_ms: u64,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Self, DecodeError> {
        let (mut extra, mut metadata) = (Vec::new(), Vec::new());
        let view = decode(entry_ms, fields, |name, value| {
            let list = if name.starts_with('_') { &mut metadata } else { &mut extra };
            list.push((name.to_owned(), value.to_owned()));
        })?;
        Ok(Self {
            event_type: view.event_type,
            order_id: view.order_id.to_owned(),
            customer: view.customer.to_owned(),
            amount: view.amount,
            ts_ms: view.ts_ms,
            ts_ms_is_receipt: false,
            extra,
            metadata,
        })
    }

    /// Bytes of the flat map without its metadata: what [`MAX_ENTRY_BYTES`](crate::MAX_ENTRY_BYTES) limits.
    pub fn encoded_len(&self) -> usize {
        self.to_fields()
            .filter(|(name, _)| !name.starts_with('_'))
            .map(|(name, value)| name.len() + value.len())
            .sum()
    }
}
