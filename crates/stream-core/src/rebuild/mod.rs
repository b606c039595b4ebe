//! Rebuilding a projection from history: asking for it, watching it, calling it off.
//!
//! A projection has generations. A rebuild replays what the live one has counted into the next one, while every commit
//! goes to both; then it swaps them in one step. What the live one has counted is known from the recorded position, below
//! which everything was applied but for dead letters, and from the IDs applied above it: neither needs the group, which
//! may have been deleted and recreated. An entry whose dead letter was purged, or dropped by the bounds, is history like
//! any other: it counts if the projection takes it now. The workers that run the projection do it (one at a time, by a lease;
//! if it dies, another goes on where it was): see [`Worker::run_projection`](crate::Worker::run_projection).

mod status;
mod steps;

use redis::{FromRedisValue, ParsingError, Value};
pub use status::{RebuildPhase, RebuildStatus};
pub(crate) use steps::{Begun, Replayed};

use crate::{
    Error, EventStream,
    reply::{take_int, take_string, take_tuple},
    scripts,
};

/// What came of asking for a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebuildRequest {
    /// It will be done; its number, by which [`RebuildStatus::request`] tells it from others.
    Requested(u64),
    /// The one of this number is asked for or under way already.
    UnderWay(u64),
}

impl FromRedisValue for RebuildRequest {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let [word, number] = take_tuple(value)?;
        let number = take_int(number)?.unsigned_abs();
        Ok(if take_string(word)? == "requested" { Self::Requested(number) } else { Self::UnderWay(number) })
    }
}

impl EventStream {
    /// Asks for a rebuild of the group's projection. A worker that runs the projection takes it up within a second or
    /// two. It is refused if the stream has lost entries that the projection may have counted, unless `accept_loss`.
    pub async fn request_rebuild(&self, group: &str, accept_loss: bool) -> Result<RebuildRequest, Error> {
        let mut script = scripts::REBUILD_REQUEST.prepare_invoke();
        script.key(self.key().projection(group)).arg(u8::from(accept_loss));
        self.connection().invoke("request a rebuild", &script).await
    }

    /// How the projection of a group is doing, and how its latest rebuild (HGETALL).
    pub async fn rebuild_status(&self, group: &str) -> Result<RebuildStatus, Error> {
        let mut cmd = redis::cmd("HGETALL");
        cmd.arg(self.key().projection(group));
        self.connection().query("HGETALL projection", &cmd).await
    }

    /// Calls a rebuild off: the live projection stays as it is, the unfinished one is deleted. Returns whether there was
    /// one.
    pub async fn abort_rebuild(&self, group: &str) -> Result<bool, Error> {
        Ok(self.end_rebuild(group, "abort", None).await? == "aborted")
    }
}

#[cfg(test)]
mod tests;
