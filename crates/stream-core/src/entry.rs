//! [`Entry`] and [`Fields`]: what a stream holds, byte for byte.

use bytes::Bytes;

use crate::StreamId;

/// The fields of an entry, in order, duplicates kept, as the bytes that Redis holds.
///
/// A map would lose the order and the duplicates, and a dead letter must be the entry that was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields(Vec<(Bytes, Bytes)>);

impl Fields {
    /// Fields from pairs.
    pub const fn new(pairs: Vec<(Bytes, Bytes)>) -> Self {
        Self(pairs)
    }

    /// The value of the first field called `name`.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_bytes(name).map(|value| &value[..])
    }

    /// The value of the first field called `name`, shared rather than copied.
    pub(crate) fn get_bytes(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().find_map(|(field, value)| (field == name.as_bytes()).then_some(value))
    }

    /// The fields after the first `count`.
    pub(crate) fn without_first(mut self, count: usize) -> Self {
        self.0.drain(..count.min(self.0.len()));
        self
    }

    /// Every pair, in the order it was written.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(field, value)| (&field[..], &value[..]))
    }

    /// The pairs as they are held, to be shared rather than copied.
    pub(crate) fn pairs(&self) -> &[(Bytes, Bytes)] {
        &self.0
    }

    /// The size of all names and values, in bytes.
    pub fn byte_len(&self) -> usize {
        self.0.iter().map(|(field, value)| field.len() + value.len()).sum()
    }

    /// The number of pairs.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no pair at all (Redis never stores such an entry).
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<Bytes>, V: Into<Bytes>> FromIterator<(K, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(field, value)| (field.into(), value.into())).collect())
    }
}

/// One entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its ID.
    pub id: StreamId,
    /// Its fields.
    pub fields: Fields,
}
