//! Finds repeated field names without allocating for entries of ordinary size.

use std::collections::HashSet;

/// Names held in place before a hash set takes over: more fields than entries usually have.
const INLINE_NAMES: usize = 16;

/// The field names seen so far.
///
/// The first names are compared one by one; from there on a hash set keeps the cost linear, since an entry of
/// 1 MiB may hold half a million names.
pub(crate) struct FieldNames<'a> {
    inline: [&'a [u8]; INLINE_NAMES],
    inline_len: usize,
    rest: HashSet<&'a [u8]>,
}

impl<'a> FieldNames<'a> {
    /// No name seen yet; allocates nothing.
    pub(crate) fn new() -> Self {
        Self { inline: [&[]; INLINE_NAMES], inline_len: 0, rest: HashSet::new() }
    }

    /// Notes `name`; false if it was there already.
    pub(crate) fn insert(&mut self, name: &'a [u8]) -> bool {
        if self.inline[..self.inline_len].contains(&name) {
            return false;
        }
        if self.inline_len < INLINE_NAMES {
            self.inline[self.inline_len] = name;
            self.inline_len += 1;
            return true;
        }
        self.rest.insert(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_found_in_place_and_beyond() {
        let names: Vec<String> = (0..100).map(|n| format!("field-{n}")).collect();
        let mut seen = FieldNames::new();
        assert!(seen.insert(b""), "an empty name is a name");
        for name in &names {
            assert!(seen.insert(name.as_bytes()));
        }
        for name in &names {
            assert!(!seen.insert(name.as_bytes()));
        }
        assert!(!seen.insert(b""));
    }
}
