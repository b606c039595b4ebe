//! [`Effects`]: what a projection may write, a closed set.

use std::time::Duration;

use crate::commit::CommitBatch;

/// What a projection may write: a closed set, so that everything that can fail is checked beforehand.
///
/// Keys are named by suffix and live in the stream's slot ([`StreamKey::generation`](crate::StreamKey::generation));
/// names of the pipeline's own keys are refused
/// ([`StreamKey::is_reserved_suffix`](crate::StreamKey::is_reserved_suffix)). Numbers are whole and stay below 2^53,
/// the last one that ZSET scores hold exactly; an entry that would pass it is dead-lettered.
#[derive(Debug)]
pub struct Effects<'a>(pub(crate) &'a mut CommitBatch);

impl Effects<'_> {
    /// Adds `by` to a field of a hash (HINCRBY). Summed over the batch.
    pub fn hash_increment(&mut self, key: &str, field: &str, by: i64) {
        self.0.push(Kind::HashIncrement, key, field, None, by);
    }

    /// Adds `by` to a member's score (ZINCRBY). Summed over the batch; 0 makes the member exist.
    pub fn sorted_set_increment(&mut self, key: &str, member: &str, by: i64) {
        self.0.push(Kind::SortedSetIncrement, key, member, None, by);
    }

    /// Raises a member's score to `score` if it is lower or absent (ZADD GT).
    pub fn sorted_set_max(&mut self, key: &str, member: &str, score: i64) {
        self.0.push(Kind::SortedSetMax, key, member, None, score);
    }

    /// Adds a member and keeps the `keep` members of the highest scores (ZADD, ZREMRANGEBYRANK).
    pub fn sorted_set_keep(&mut self, key: &str, member: &str, score: i64, keep: u32) {
        self.0.push(Kind::SortedSetKeep, key, member, Some((keep.to_string(), String::new())), score);
    }

    /// Sets a field of a hash unless it exists (HSETNX), and where it did not, adds 1 to `counter_field` of
    /// the hash `counter`: counts things once that several entries tell of.
    pub fn count_first(&mut self, key: &str, field: &str, value: i64, counter: &str, counter_field: &str) {
        let counter = self.0.key_index(counter).to_string();
        self.0.push(Kind::CountFirst, key, field, Some((counter, counter_field.to_owned())), value);
    }

    /// Lets a key expire `after` from this commit on (PEXPIRE), once everything has been written. In a rebuild the time
    /// counts from when the entry was appended, but ends no sooner than in an hour.
    pub fn expire(&mut self, key: &str, after: Duration) {
        // Beyond this PEXPIRE would fail, and only after the first writes.
        let millis = after.as_millis().min(EXPIRE_MS_MAX).to_string();
        self.0.push(Kind::Expire, key, "", Some((millis, String::new())), 0);
    }
}

/// The longest time to live of a key: 2^53 ms, some 285,000 years.
const EXPIRE_MS_MAX: u128 = 1 << 53;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    HashIncrement,
    SortedSetIncrement,
    SortedSetMax,
    SortedSetKeep,
    CountFirst,
    Expire,
}

impl Kind {
    /// The kind as `effects.lua` knows it.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::HashIncrement => "hincr",
            Self::SortedSetIncrement => "zincr",
            Self::SortedSetMax => "zmax",
            Self::SortedSetKeep => "zkeep",
            Self::CountFirst => "hfirst",
            Self::Expire => "expire",
        }
    }
}
