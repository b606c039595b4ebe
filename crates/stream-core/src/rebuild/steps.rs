//! The steps of a rebuild, each one script: whoever does them, and however often.

use std::time::Duration;

use redis::{FromRedisValue, ParsingError, Value};

use super::RebuildStatus;
use crate::{
    Error, EventStream, StreamId,
    commit::CommitBatch,
    reply::{take_array, take_id, take_int, take_string, take_tuple},
    scripts,
};

/// How long retention is held back after the latest step. A rebuild that nobody goes on with lets go of it then.
const HOLD: Duration = Duration::from_mins(15);
/// How long a generation can still be read after another was swapped in.
const GRACE: Duration = Duration::from_mins(1);
/// Most IDs that the first step copies: some 0.2 s of the server's time. More than that are above the position only
/// while an old entry is pending.
const COPIED_MAX: u64 = 200_000;
/// Dead letters looked at by one step.
const LETTERS_PAGE: usize = 1_000;
/// Keys deleted by one step.
const DROP_PAGE: usize = 500;

/// What the first step came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    Started,
    /// Somebody has begun it, or called it off.
    NotRequested,
    /// Too many IDs are above the recorded position.
    Busy(u64),
    /// Entries are lost.
    Refused,
}

impl FromRedisValue for Begun {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut items = take_array(value)?.into_iter();
        Ok(match take_string(items.next().unwrap_or_default())?.as_str() {
            "begun" => Self::Started,
            "busy" => Self::Busy(take_int(items.next().unwrap_or_default())?.unsigned_abs()),
            "refused" => Self::Refused,
            _ => Self::NotRequested,
        })
    }
}

/// A page of dead letters that were noted.
#[derive(Debug)]
pub(crate) struct LettersPage {
    /// Whether there may be more.
    pub(crate) full: bool,
    /// The last one's ID, if there was one.
    pub(crate) last: Option<StreamId>,
    /// The newest ID that their stream has ever given.
    pub(crate) newest: StreamId,
}

struct MaybeLetters(Option<LettersPage>);

impl FromRedisValue for MaybeLetters {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut items = take_array(value)?.into_iter();
        if take_string(items.next().unwrap_or_default())? == "moved" {
            return Ok(Self(None));
        }
        let [count, last, newest] = take_tuple(Value::Array(items.collect()))?;
        let count = take_int(count)?.unsigned_abs();
        let last = if count == 0 { None } else { Some(take_id(last)?) };
        let full = count >= LETTERS_PAGE as u64;
        Ok(Self(Some(LettersPage { full, last, newest: take_id(newest)? })))
    }
}

/// What a page of history came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Replayed {
    Applied,
    /// The rebuild has ended, or another one begun.
    Moved,
    /// Somebody else has replayed it.
    Elsewhere,
    /// A number would pass 2^53; nothing was written.
    Overflow(String),
}

impl FromRedisValue for Replayed {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut items = take_array(value)?.into_iter();
        Ok(match take_string(items.next().unwrap_or_default())?.as_str() {
            "applied" => Self::Applied,
            "overflow" => Self::Overflow(take_string(items.next().unwrap_or_default())?),
            "elsewhere" => Self::Elsewhere,
            _ => Self::Moved,
        })
    }
}

fn hold(group: &str) -> String {
    format!("rebuild:{group}")
}

impl EventStream {
    /// Begins a rebuild that was asked for.
    pub(crate) async fn begin_rebuild(&self, group: &str, owner: &str) -> Result<Begun, Error> {
        let key = self.key();
        let mut script = scripts::REBUILD_BEGIN.prepare_invoke();
        script.key(key.as_str()).key(key.position(group)).key(key.applied(group)).key(key.projection(group));
        script.key(key.rebuild_applied(group)).key(key.rebuild_left_out(group)).key(key.retention_holds());
        script.arg(hold(group)).arg(HOLD.as_millis() as u64).arg(COPIED_MAX).arg(owner);
        self.connection().invoke("begin a rebuild", &script).await
    }

    /// Says why a rebuild that was asked for does not begin.
    pub(crate) async fn explain_rebuild(&self, group: &str, message: &str) -> Result<(), Error> {
        let mut cmd = redis::cmd("HSET");
        cmd.arg(self.key().projection(group)).arg("message").arg(message);
        self.connection().query::<i64>("HSET message", &cmd).await.map(drop)
    }

    /// Notes a page of dead letters, or of those sent back, to be left out by the replay. `None`: the rebuild has ended,
    /// or another one begun.
    pub(crate) async fn note_dead_letters(
        &self,
        group: &str,
        epoch: u64,
        sent_back: bool,
        after: StreamId,
    ) -> Result<Option<LettersPage>, Error> {
        let key = self.key();
        let mut script = scripts::REBUILD_LETTERS.prepare_invoke();
        script.key(key.projection(group)).key(key.rebuild_left_out(group)).key(key.redriven(group));
        if sent_back {
            script.key(key.redrive(group).as_str());
        } else {
            script.key(key.dead_letters(group));
        }
        script.key(key.retention_holds());
        script.arg(epoch).arg(if sent_back { "_redrive_of" } else { "_dl_id" }).arg(after).arg(LETTERS_PAGE);
        script.arg(hold(group)).arg(HOLD.as_millis() as u64);
        let page: MaybeLetters = self.connection().invoke("note dead letters", &script).await?;
        Ok(page.0)
    }

    /// Applies a page of history, `entries` from `status.cursor` to `cursor`, to the next generation.
    pub(crate) async fn replay(
        &self,
        group: &str,
        status: &RebuildStatus,
        cursor: StreamId,
        entries: usize,
        batch: &CommitBatch,
        owner: &str,
    ) -> Result<Replayed, Error> {
        let Some(next) = status.next else { return Ok(Replayed::Moved) };
        let key = self.key();
        let mut script = scripts::REBUILD_REPLAY.prepare_invoke();
        script.key(key.projection(group)).key(key.rebuild_applied(group)).key(key.rebuild_left_out(group));
        script.key(key.retention_holds());
        batch.pass_keys(&mut script, key, group, next);
        script.arg(status.epoch).arg(status.cursor).arg(cursor).arg(entries);
        script.arg(hold(group)).arg(HOLD.as_millis() as u64).arg(owner);
        batch.pass(&mut script, 1, false);
        self.connection().invoke("replay", &script).await
    }

    /// Ends a rebuild: `swap` or `abort`; only if its epoch is still this one, if one is given. What it came to.
    pub(crate) async fn end_rebuild(
        &self,
        group: &str,
        verb: &str,
        epoch: Option<u64>,
    ) -> Result<String, Error> {
        let key = self.key();
        let mut script = scripts::REBUILD_END.prepare_invoke();
        script.key(key.projection(group)).key(key.rebuild_applied(group)).key(key.rebuild_left_out(group));
        script.key(key.retention_holds()).arg(verb);
        script.arg(epoch.map_or_else(String::new, |epoch| epoch.to_string()));
        script.arg(hold(group)).arg(GRACE.as_millis() as u64);
        let outcome: Vec<String> = self.connection().invoke("end a rebuild", &script).await?;
        Ok(outcome.into_iter().next().unwrap_or_default())
    }

    /// Looks at some of the server's keys (SCAN) and deletes those of a generation that nobody uses any more. Returns
    /// where to go on, 0 at the end: then the generation is forgotten.
    pub(crate) async fn drop_generation(
        &self,
        group: &str,
        generation: u64,
        prefixes: &[&str],
        cursor: u64,
    ) -> Result<u64, Error> {
        // Generation 0 has no prefix but what the projection names.
        let base = if generation == 0 {
            self.key().with_suffix("")
        } else {
            self.key().generation(group, generation, "")
        };
        let (next, found) = self.scan(&base, cursor).await?;
        let ours = |key: &String| {
            key.strip_prefix(&base).is_some_and(|suffix| {
                generation != 0 || prefixes.iter().any(|prefix| suffix.starts_with(prefix))
            })
        };
        let found: Vec<String> = found.into_iter().filter(ours).collect();
        for keys in found.chunks(DROP_PAGE) {
            if self.drop_keys(group, generation, keys).await? < 0 {
                return Ok(0);
            }
        }
        if next == 0 {
            self.drop_keys(group, generation, &[]).await?;
        }
        Ok(next)
    }

    /// Without keys, forgets the generation.
    async fn drop_keys(&self, group: &str, generation: u64, keys: &[String]) -> Result<i64, Error> {
        let mut script = scripts::REBUILD_DROP.prepare_invoke();
        script.key(self.key().projection(group)).key(keys).arg(generation);
        self.connection().invoke("drop a generation", &script).await
    }
}
