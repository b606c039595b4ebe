//! [`StreamKey`]: a stream's key, and the one rule that names every key belonging to it.

use std::{fmt, sync::Arc};

/// The key of a stream.
///
/// Every other key of the stream is derived from it so that all of them share its Redis Cluster
/// slot: with a hash tag in the stream key `<stream>:<suffix>`, without one `{<stream>}:<suffix>`.
///
/// ```
/// use stream_core::StreamKey;
/// let plain = StreamKey::new("events:orders").unwrap();
/// assert_eq!(plain.dead_letters("analytics"), "{events:orders}:dlq:analytics");
/// let tenant = StreamKey::new("events:orders:{tenant_a}").unwrap();
/// assert_eq!(tenant.dead_letters("analytics"), "events:orders:{tenant_a}:dlq:analytics");
/// assert!(StreamKey::new("events:{}").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StreamKey {
    key: Arc<str>,
    /// What every other key is derived from: the key itself, or for a redrive stream the one it belongs to.
    base: Arc<str>,
    tagged: bool,
}

/// A stream key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamKeyError {
    /// No key at all.
    #[error("the stream key is empty")]
    Empty,
    /// Braces that Redis Cluster would not take as a hash tag: the stream's other keys would land in
    /// other slots.
    #[error(
        "the stream key {0:?} contains a brace but no hash tag; write {{tag}} with at least one character \
         between the braces, or no braces"
    )]
    BadHashTag(String),
}

impl StreamKey {
    /// Checks a key's hash tag and takes it.
    pub fn new(key: impl AsRef<str>) -> Result<Self, StreamKeyError> {
        let key = key.as_ref();
        if key.is_empty() {
            return Err(StreamKeyError::Empty);
        }
        let tagged = hash_tag(key).is_some();
        if !tagged && key.contains(['{', '}']) {
            return Err(StreamKeyError::BadHashTag(key.to_owned()));
        }
        let key: Arc<str> = key.into();
        Ok(Self { base: Arc::clone(&key), key, tagged })
    }

    /// The stream's own key.
    pub fn as_str(&self) -> &str {
        &self.key
    }

    /// The key `suffix` of this stream, in the stream's slot.
    pub fn with_suffix(&self, suffix: &str) -> String {
        if self.tagged { format!("{}:{suffix}", self.base) } else { format!("{{{}}}:{suffix}", self.base) }
    }

    /// The dead letters of a group: a stream.
    pub fn dead_letters(&self, group: &str) -> String {
        self.with_suffix(&format!("dlq:{group}"))
    }

    /// How many dead letters of a group the bounds on them have dropped: a number.
    pub fn dead_letters_dropped(&self, group: &str) -> String {
        self.with_suffix(&format!("dlq_dropped:{group}"))
    }

    /// The stream of dead letters that were sent back to a group. Its other keys are this stream's: the same
    /// dead letters, the same leases.
    #[must_use]
    pub fn redrive(&self, group: &str) -> Self {
        let key = self.with_suffix(&format!("redrive:{group}")).into();
        Self { key, base: Arc::clone(&self.base), tagged: self.tagged }
    }

    /// Whether this is the redrive stream of a group.
    pub fn is_redrive(&self) -> bool {
        self.key != self.base
    }

    /// The group's recorded low watermark, a stream ID below which everything is settled: a string.
    pub fn position(&self, group: &str) -> String {
        self.with_suffix(&format!("pos:{group}"))
    }

    /// What projections have applied above the group's recorded position: a sorted set of stream IDs.
    pub(crate) fn applied(&self, group: &str) -> String {
        self.with_suffix(&format!("pos:{group}:applied"))
    }

    /// Entries that a redrive applied to the group's projection, or that were applied in spite of a dead letter: a sorted
    /// set of original IDs by the time of it, kept for 90 days and for a million entries.
    pub(crate) fn redriven(&self, group: &str) -> String {
        self.with_suffix(&format!("pos:{group}:redriven"))
    }

    /// The entries above the group's position of which dead letters tell: a sorted set of their IDs.
    pub(crate) fn dead_above_position(&self, group: &str) -> String {
        self.with_suffix(&format!("pos:{group}:dead"))
    }

    /// How far the dead letters have been looked through for those above the position: a hash of two stream IDs.
    pub(crate) fn dead_letters_noted(&self, group: &str) -> String {
        self.with_suffix(&format!("pos:{group}:noted"))
    }

    /// The state of a group's projection, its generations and its rebuild: a hash.
    pub fn projection(&self, group: &str) -> String {
        self.with_suffix(&format!("projection:{group}"))
    }

    /// What had been applied above the position when the rebuild of a projection began: a sorted set of stream IDs.
    pub(crate) fn rebuild_applied(&self, group: &str) -> String {
        self.with_suffix(&format!("projection:{group}:applied"))
    }

    /// What the replay of a rebuild leaves out, dead letters: a set of stream IDs.
    pub(crate) fn rebuild_left_out(&self, group: &str) -> String {
        self.with_suffix(&format!("projection:{group}:left-out"))
    }

    /// The lease of the one process that rebuilds a projection: a string with a TTL.
    pub fn rebuild_lease(&self, group: &str) -> String {
        self.with_suffix(&format!("lease:rebuild:{group}"))
    }

    /// Who holds retention back: a hash, by the name of the holder `<id> <until, Unix ms>`. Until then no entry above
    /// that ID may be trimmed. A rebuild holds as `rebuild:<group>`.
    pub fn retention_holds(&self) -> String {
        self.with_suffix("retention:holds")
    }

    /// The key `suffix` of a projection, in one of its generations: the first one has the names that the projection
    /// gives, one that was rebuilt has them behind `gen:<group>:<generation>:`.
    pub fn generation(&self, group: &str, generation: u64, suffix: &str) -> String {
        if generation == 0 {
            self.with_suffix(suffix)
        } else {
            self.with_suffix(&format!("gen:{group}:{generation}:{suffix}"))
        }
    }

    /// Whether a suffix names keys of this library or of the pipeline around it: a projection may not write there.
    pub fn is_reserved_suffix(suffix: &str) -> bool {
        const RESERVED: [&str; 12] = [
            "dlq:",
            "dlq_dropped:",
            "redrive:",
            "pos:",
            "idem:",
            "lease:",
            "retention:",
            "projection:",
            "gen:",
            "notified:",
            "probe:",
            "workers:",
        ];
        suffix == "workers" || RESERVED.iter().any(|reserved| suffix.starts_with(reserved))
    }

    /// What the keys of appends are remembered under that may be repeated: hashes with a TTL, `<prefix><shard>` and
    /// `<prefix><shard>:old`.
    pub(crate) fn idempotency(&self, memory: &str) -> String {
        self.with_suffix(&format!("idem:{memory}:"))
    }

    /// The lease that reserves a consumer's name: a string with a TTL.
    pub fn consumer_lease(&self, group: &str, consumer: &str) -> String {
        self.with_suffix(&format!("lease:consumer:{group}:{consumer}"))
    }

    /// The lease of the one active reaper: a string with a TTL.
    pub fn reaper_lease(&self) -> String {
        self.with_suffix("lease:reaper")
    }

    /// What retention knows of each group: its last-delivered ID, since when it is silent and when it was looked
    /// at last (Unix ms). A hash.
    pub fn retention_groups(&self) -> String {
        self.with_suffix("retention:groups")
    }

    /// How many entries each group lost to retention before it was handed them: a hash.
    pub fn retention_lost(&self) -> String {
        self.with_suffix("retention:lost")
    }

    /// What retention by length saw of the stream and its groups at its last look: a hash.
    pub(crate) fn retention_marks(&self) -> String {
        self.with_suffix("retention:marks")
    }

    /// Says that an entry was sent to `target`: a string with a TTL. See [`SentMarks`](crate::SentMarks).
    pub(crate) fn notified(&self, id: crate::StreamId, target: &str) -> String {
        self.with_suffix(&format!("notified:{id}:{target}"))
    }

    /// The registry of consumers that hold or held a name: a hash, `<group>/<consumer>` to a JSON
    /// object of its [`Holder`](crate::Holder) and, under `counters`, its [`ConsumerCounters`](crate::ConsumerCounters).
    pub fn workers(&self) -> String {
        self.with_suffix("workers")
    }

    /// What the consumers of each group have done in all, also those that are gone: a hash, `<group>/<counter>` to
    /// a number, with the counters of [`ConsumerCounters`](crate::ConsumerCounters).
    pub fn worker_totals(&self) -> String {
        self.with_suffix("workers:totals")
    }
}

/// The part of a key that Redis Cluster hashes, if it is marked (Redis Cluster specification, "Hash tags").
fn hash_tag(key: &str) -> Option<&str> {
    let (_, after) = key.split_once('{')?;
    let (tag, _) = after.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamKey({})", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_braces_that_are_no_tag() {
        for key in ["a{", "a}", "{}", "a{}b{c}", "}{"] {
            assert!(matches!(StreamKey::new(key), Err(StreamKeyError::BadHashTag(_))), "{key}");
        }
        assert_eq!(StreamKey::new(""), Err(StreamKeyError::Empty));
    }

    #[test]
    fn a_redrive_stream_shares_the_keys_of_its_stream() {
        for (key, redrive) in [("orders", "{orders}:redrive:g"), ("a:{t}", "a:{t}:redrive:g")] {
            let stream = StreamKey::new(key).unwrap();
            let back = stream.redrive("g");
            assert_eq!(back.as_str(), redrive);
            assert_eq!(back.dead_letters("g"), stream.dead_letters("g"));
            assert!(back.is_redrive() && !stream.is_redrive());
        }
    }

    #[test]
    fn derived_keys_keep_the_tag() {
        for key in ["orders", "orders:7", "orders:{t}", "{t}:orders"] {
            let stream = StreamKey::new(key).unwrap();
            let expected = hash_tag(key).unwrap_or(key);
            assert_eq!(hash_tag(&stream.position("g")), Some(expected));
        }
    }
}
