//! [`Redriven`]: what an entry of a redrive stream says before the fields of the original.

use crate::{Fields, StreamId};

/// The fields that come first in an entry of a redrive stream.
const REDRIVE_OF: &[u8] = b"_redrive_of";
const REDRIVE_COUNT: &[u8] = b"_redrive_count";

/// A dead letter that was sent back to its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Redriven {
    /// The ID of the original.
    pub(crate) id: StreamId,
    /// How often it has been redriven, this time included.
    pub(crate) count: u64,
}

impl Redriven {
    /// Takes an entry of a redrive stream apart: where it comes from, and the original fields. One that somebody
    /// else has put there is what it is.
    pub(crate) fn split(fields: Fields) -> (Option<Self>, Fields) {
        match Self::read(&fields) {
            Some(redriven) => (Some(redriven), fields.without_first(2)),
            None => (None, fields),
        }
    }

    fn read(fields: &Fields) -> Option<Self> {
        let mut pairs = fields.iter();
        let (_, id) = pairs.next().filter(|(name, _)| *name == REDRIVE_OF)?;
        let (_, count) = pairs.next().filter(|(name, _)| *name == REDRIVE_COUNT)?;
        let count = std::str::from_utf8(count).ok()?.parse().ok()?;
        Some(Self { id: StreamId::from_bytes(id).ok()?, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_first_fields_are_taken_off() {
        let fields: Fields =
            [("_redrive_of", "5-1"), ("_redrive_count", "2"), ("a", "1"), ("_redrive_of", "x")]
                .into_iter()
                .collect();
        let (redriven, original) = Redriven::split(fields);
        assert_eq!(redriven, Some(Redriven { id: StreamId::new(5, 1), count: 2 }));
        assert_eq!(original, [("a", "1"), ("_redrive_of", "x")].into_iter().collect());
    }

    #[test]
    fn an_entry_of_somebody_else_keeps_its_fields() {
        for pairs in [
            [("a", "1"), ("b", "2")],
            [("_redrive_of", "5-1"), ("b", "2")],
            [("_redrive_of", "x"), ("_redrive_count", "1")],
        ] {
            let fields: Fields = pairs.into_iter().collect();
            assert_eq!(Redriven::split(fields.clone()), (None, fields));
        }
    }
}
