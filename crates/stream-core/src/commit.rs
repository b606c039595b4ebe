//! Commits: the effects of a batch of entries, applied together with their acks.

use std::collections::HashMap;

use redis::{FromRedisValue, ParsingError, ScriptInvocation, Value};

use crate::{
    Error, EventStream, StreamId, StreamKey,
    effects::{Effects, Kind},
    reply::{take_array, take_int, take_string},
    scripts,
};

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
    /// The ID in the stream that it is acked in.
    row: StreamId,
    /// The ID that it was appended under first: what counts once.
    id: StreamId,
    /// `None` if the projection has rejected it.
    effects: Option<Vec<(usize, i64)>>,
}

/// Entries and their effects, to be applied in one step.
#[derive(Debug, Default)]
pub(crate) struct CommitBatch {
    /// Suffixes of the keys that effects write.
    keys: Vec<String>,
    key_indexes: HashMap<String, usize>,
    targets: Vec<Target>,
    target_indexes: HashMap<String, usize>,
    entries: Vec<CommitEntry>,
    /// Effects of the entry being added.
    current: Vec<(usize, i64)>,
    /// A name that it has no right to.
    reserved: Option<String>,
    /// Reused to look targets up without allocating.
    scratch: String,
}

/// Why an entry was not added to a batch.
#[derive(Debug)]
pub(crate) enum NotAdded<E> {
    /// The projection says that it cannot be understood.
    Rejected(E),
    /// The projection names a key of the pipeline's own.
    ReservedKey(String),
}

impl CommitBatch {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds an entry with the effects that `fill` states; if it fails, nothing is added. `row` is the entry's ID in the
    /// stream where it is to be acked, `id` its original one: they differ in a redrive stream.
    pub(crate) fn add<E>(
        &mut self,
        row: StreamId,
        id: StreamId,
        fill: impl FnOnce(&mut Effects<'_>) -> Result<(), E>,
    ) -> Result<(), NotAdded<E>> {
        self.current.clear();
        fill(&mut Effects(self)).map_err(NotAdded::Rejected)?;
        if let Some(key) = self.reserved.take() {
            return Err(NotAdded::ReservedKey(key));
        }
        let effects = Some(std::mem::take(&mut self.current));
        self.entries.push(CommitEntry { row, id, effects });
        Ok(())
    }

    /// Adds an entry that the projection has rejected: acked if it was applied before, else left for the dead letters.
    pub(crate) fn add_rejected(&mut self, row: StreamId, id: StreamId) {
        self.entries.push(CommitEntry { row, id, effects: None });
    }

    /// Forgets what an interrupted [`add`](Self::add) has stated.
    pub(crate) fn discard_unfinished(&mut self) {
        self.current.clear();
        self.reserved = None;
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn push(
        &mut self,
        kind: Kind,
        key: &str,
        field: &str,
        extra: Option<(String, String)>,
        value: i64,
    ) {
        use std::fmt::Write as _;
        let key = self.key_index(key);
        if self.reserved.is_some() {
            return;
        }
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

    /// The place of a key among those that effects write, counted from 1.
    pub(crate) fn key_index(&mut self, suffix: &str) -> usize {
        if let Some(&index) = self.key_indexes.get(suffix) {
            return index;
        }
        if StreamKey::is_reserved_suffix(suffix) {
            // Not a key of the batch: the entry that names it is not added, and nothing is written there.
            self.reserved = Some(suffix.to_owned());
            return 1;
        }
        self.keys.push(suffix.to_owned());
        let index = self.keys.len();
        self.key_indexes.insert(suffix.to_owned(), index);
        index
    }

    /// Passes the keys of one generation to a script.
    pub(crate) fn pass_keys(
        &self,
        script: &mut ScriptInvocation<'_>,
        stream: &StreamKey,
        group: &str,
        generation: u64,
    ) {
        for suffix in &self.keys {
            script.key(stream.generation(group, generation, suffix));
        }
    }

    /// Passes the batch to a script as `effects.lua` reads it.
    pub(crate) fn pass(&self, script: &mut ScriptInvocation<'_>, generations: usize, redrive: bool) {
        script.arg(generations).arg(self.keys.len()).arg(self.targets.len()).arg(self.entries.len());
        for target in &self.targets {
            let (a, b) = target.extra.as_ref().map_or(("", ""), |(a, b)| (a, b));
            script.arg(target.kind.code()).arg(target.key).arg(&target.field).arg(a).arg(b);
        }
        for entry in &self.entries {
            script.arg(entry.id);
            if redrive {
                script.arg(entry.row);
            }
            let Some(effects) = &entry.effects else {
                script.arg(-1);
                continue;
            };
            script.arg(effects.len());
            for (target, value) in effects {
                script.arg(target).arg(value);
            }
        }
    }
}

/// Which generations of a projection commits go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Generations {
    /// Rises whenever the others change.
    pub(crate) epoch: u64,
    /// The one that readers see.
    pub(crate) live: u64,
    /// The one that is being built.
    pub(crate) next: Option<u64>,
}

/// What became of a commit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// Applied and acked, but for these entries.
    Applied {
        /// By place: not pending any more, or applied before.
        not_pending: Vec<usize>,
        /// By place: rejected by the projection, and not settled before. They are still pending.
        rejected: Vec<usize>,
    },
    /// A number would have passed 2^53; nothing was written.
    Overflow(String),
    /// The projection has other generations by now; nothing was written.
    Moved(Generations),
}

impl FromRedisValue for Committed {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut items = take_array(value)?.into_iter();
        let mut next = || items.next().unwrap_or_default();
        let word = take_string(next())?;
        let places = |value| -> Result<Vec<usize>, ParsingError> {
            take_array(value)?.into_iter().map(|at| take_int(at).map(|at| at as usize)).collect()
        };
        match word.as_str() {
            "overflow" => Ok(Self::Overflow(take_string(next())?)),
            "moved" => {
                let (epoch, live) = (take_int(next())?.unsigned_abs(), take_int(next())?.unsigned_abs());
                let building = take_string(next())?.parse().ok();
                Ok(Self::Moved(Generations { epoch, live, next: building }))
            }
            _ => Ok(Self::Applied { not_pending: places(next())?, rejected: places(next())? }),
        }
    }
}

impl EventStream {
    /// Applies a batch: for each entry, its effects if and only if its ack took it from the pending list and it was not
    /// applied before. Nothing is written unless `generations` are those of the projection now.
    pub(crate) async fn commit(
        &self,
        group: &str,
        batch: &CommitBatch,
        generations: Generations,
    ) -> Result<Committed, Error> {
        if batch.is_empty() {
            return Ok(Committed::Applied { not_pending: Vec::new(), rejected: Vec::new() });
        }
        let key = self.key();
        let mut script = scripts::COMMIT.prepare_invoke();
        script.key(key.as_str()).key(key.position(group)).key(key.applied(group)).key(key.projection(group));
        script.key(key.redriven(group)).key(key.rebuild_left_out(group));
        let all = [Some(generations.live), generations.next];
        for generation in all.iter().flatten() {
            batch.pass_keys(&mut script, key, group, *generation);
        }
        script.arg(group).arg(generations.epoch).arg(if key.is_redrive() { "1" } else { "" });
        batch.pass(&mut script, all.iter().flatten().count(), key.is_redrive());
        self.connection().invoke("commit", &script).await
    }
}

#[cfg(test)]
pub(crate) mod tests;
