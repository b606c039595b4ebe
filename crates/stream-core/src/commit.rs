//! Commits: the effects of a batch of entries, applied together with their acks.

use std::collections::HashMap;

use redis::{FromRedisValue, ParsingError, Value};

use crate::{
    Error, EventStream, StreamId, StreamKey,
    reply::{take_array, take_int, take_string},
    scripts,
};

/// What a projection may write: a closed set, so that everything that can fail is checked beforehand.
///
/// Keys are named by suffix and live in the stream's slot ([`StreamKey::with_suffix`]). Numbers are whole
/// and stay below 2^53, the last one that ZSET scores hold exactly; an entry that would pass it is
/// dead-lettered.
#[derive(Debug)]
pub struct Effects<'a>(&'a mut CommitBatch);

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

    /// Lets a key expire `after` from this commit on (PEXPIRE), once everything has been written.
    pub fn expire(&mut self, key: &str, after: std::time::Duration) {
        // Beyond this PEXPIRE would fail, and only after the first writes.
        let millis = after.as_millis().min(EXPIRE_MS_MAX).to_string();
        self.0.push(Kind::Expire, key, "", Some((millis, String::new())), 0);
    }
}

/// The longest time to live of a key: 2^53 ms, some 285,000 years.
const EXPIRE_MS_MAX: u128 = 1 << 53;

#[derive(Debug, Clone, Copy)]
enum Kind {
    HashIncrement,
    SortedSetIncrement,
    SortedSetMax,
    SortedSetKeep,
    CountFirst,
    Expire,
}

impl Kind {
    /// The kind as `commit.lua` knows it.
    const fn code(self) -> &'static str {
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

/// What is written to: entries of a batch share targets, so that the script sums before it writes.
#[derive(Debug)]
struct Target {
    kind: Kind,
    key: usize,
    field: String,
    extra: Option<(String, String)>,
}

#[derive(Debug)]
struct CommitEntry {
    id: StreamId,
    effects: Vec<(usize, i64)>,
}

/// Entries and their effects, to be applied in one step.
#[derive(Debug)]
pub(crate) struct CommitBatch {
    stream: StreamKey,
    keys: Vec<String>,
    key_indexes: HashMap<String, usize>,
    targets: Vec<Target>,
    target_indexes: HashMap<String, usize>,
    entries: Vec<CommitEntry>,
    /// Effects of the entry being added.
    current: Vec<(usize, i64)>,
    /// Reused to look targets up without allocating.
    scratch: String,
}

impl CommitBatch {
    pub(crate) fn new(stream: StreamKey) -> Self {
        Self {
            stream,
            keys: Vec::new(),
            key_indexes: HashMap::new(),
            targets: Vec::new(),
            target_indexes: HashMap::new(),
            entries: Vec::new(),
            current: Vec::new(),
            scratch: String::new(),
        }
    }

    /// Adds an entry with the effects that `fill` states; if it fails, nothing is added.
    pub(crate) fn add<E>(
        &mut self,
        id: StreamId,
        fill: impl FnOnce(&mut Effects<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.current.clear();
        fill(&mut Effects(self))?;
        let effects = std::mem::take(&mut self.current);
        self.entries.push(CommitEntry { id, effects });
        Ok(())
    }

    /// Forgets what an interrupted [`add`](Self::add) has stated.
    pub(crate) fn discard_unfinished(&mut self) {
        self.current.clear();
    }

    fn push(&mut self, kind: Kind, key: &str, field: &str, extra: Option<(String, String)>, value: i64) {
        use std::fmt::Write as _;
        let key = self.key_index(key);
        self.scratch.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.scratch, "{}\0{key}\0{field}", kind.code());
        if let Some((a, b)) = &extra {
            let _ = write!(self.scratch, "\0{a}\0{b}");
        }
        let target = if let Some(&index) = self.target_indexes.get(&self.scratch) {
            index
        } else {
            self.targets.push(Target { kind, key, field: field.to_owned(), extra });
            self.target_indexes.insert(self.scratch.clone(), self.targets.len());
            self.targets.len()
        };
        self.current.push((target, value));
    }

    /// The place of a key among the script's KEYS, counted from 1, after the three of the stream itself.
    fn key_index(&mut self, suffix: &str) -> usize {
        if let Some(&index) = self.key_indexes.get(suffix) {
            return index;
        }
        self.keys.push(self.stream.with_suffix(suffix));
        let index = self.keys.len() + 3;
        self.key_indexes.insert(suffix.to_owned(), index);
        index
    }
}

/// What became of a commit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// Applied and acked, but for these entries (by place), which were not pending any more or had been
    /// applied before.
    Applied { not_pending: Vec<usize> },
    /// A number would have passed 2^53; nothing was written.
    Overflow(String),
}

impl FromRedisValue for Committed {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut items = take_array(value)?.into_iter();
        let word = take_string(items.next().unwrap_or_default())?;
        let detail = items.next().unwrap_or_default();
        if word == "overflow" {
            return Ok(Self::Overflow(take_string(detail)?));
        }
        let not_pending = take_array(detail)?.into_iter().map(|at| take_int(at).map(|at| at as usize));
        Ok(Self::Applied { not_pending: not_pending.collect::<Result<_, _>>()? })
    }
}

impl EventStream {
    /// Applies a batch: for each entry, its effects if and only if its ack took it from the pending list.
    pub(crate) async fn commit(&self, group: &str, batch: &CommitBatch) -> Result<Committed, Error> {
        if batch.entries.is_empty() {
            return Ok(Committed::Applied { not_pending: Vec::new() });
        }
        let mut script = scripts::COMMIT.prepare_invoke();
        script.key(self.key().as_str()).key(self.key().position(group)).key(self.key().applied(group));
        script.key(&batch.keys);
        script.arg(group).arg(batch.targets.len()).arg(batch.entries.len());
        for target in &batch.targets {
            let (a, b) = target.extra.as_ref().map_or(("", ""), |(a, b)| (a, b));
            script.arg(target.kind.code()).arg(target.key).arg(&target.field).arg(a).arg(b);
        }
        for entry in &batch.entries {
            script.arg(entry.id).arg(entry.effects.len());
            for (target, value) in &entry.effects {
                script.arg(target).arg(value);
            }
        }
        self.connection().invoke("commit", &script).await
    }
}
