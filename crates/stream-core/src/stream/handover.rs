//! Handing pending entries over from one consumer to another.

use std::time::Duration;

use redis::{FromRedisValue, ParsingError, ScriptInvocation, Value};

use super::EventStream;
use crate::{
    Error, ErrorKind, StreamId,
    reply::{take_array, take_ids, take_int, take_string, take_tuple},
    scripts,
};

/// Whose entries go to whom.
#[derive(Debug, Clone, Copy)]
pub struct HandoverRequest<'a> {
    /// The group.
    pub group: &'a str,
    /// Who has the entries. It must have stopped reading and handling.
    pub from: &'a str,
    /// Who gets them: a consumer whose name is leased.
    pub to: &'a str,
    /// The idle time that the entries get. With half of `claim_min_idle` the workers of this library take up what they
    /// were given at their next look, before anybody else may claim it.
    pub idle: Duration,
    /// Do nothing if the name of `from` is leased: whoever holds it may be at work on the entries.
    pub only_if_dead: bool,
}

/// What a handover did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handover {
    /// Pending entries that now belong to the other consumer.
    pub moved: u64,
    /// Entries whose payload was gone; they were recorded as dead letters.
    pub lost: Vec<StreamId>,
}

/// Nothing more was handed over.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum HandoverError {
    /// The consumer that was to get the entries is not alive: its name is not leased.
    #[error("the consumer {0:?} is not alive")]
    PeerGone(String),
    /// The consumer that has the entries is alive.
    #[error("the consumer {0:?} is alive, and may be at work on its entries")]
    SourceAlive(String),
    /// Redis failed. Pages before that were moved.
    #[error(transparent)]
    Redis(#[from] Error),
}

enum Page {
    Moved { handover: Handover, more: bool },
    PeerGone,
    SourceAlive,
}

impl FromRedisValue for Page {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut items = take_array(value)?;
        if items.len() == 1 {
            let word = items.pop().map(take_string).transpose()?;
            return Ok(if word.as_deref() == Some("alive") { Self::SourceAlive } else { Self::PeerGone });
        }
        let more = if items.len() == 3 { items.pop().map(take_int).transpose()? == Some(1) } else { false };
        let [moved, lost] = take_tuple(Value::Array(items))?;
        let handover = Handover { moved: take_int(moved)?.unsigned_abs(), lost: take_ids(lost)? };
        Ok(Self::Moved { handover, more })
    }
}

/// Rows moved by one step of a handover: short enough not to hold the server up.
const PAGE: usize = 500;
/// Steps of one handover: two million rows, far beyond any pending list in order.
const PAGES_MAX: usize = 4_000;

impl EventStream {
    /// Moves every pending entry of one consumer to another; delivery counts stay as they are.
    pub async fn handover(&self, request: &HandoverRequest<'_>) -> Result<Handover, HandoverError> {
        let HandoverRequest { group, from, to, idle, only_if_dead } = *request;
        let mut total = Handover::default();
        if from == to {
            return Ok(total);
        }
        for _ in 0..PAGES_MAX {
            let mut script = scripts::HANDOVER.prepare_invoke();
            script.key(self.key.as_str()).key(self.key.dead_letters(group));
            script.key(self.key.consumer_lease(group, to));
            if only_if_dead {
                script.key(self.key.consumer_lease(group, from));
            }
            script.arg(group).arg(from).arg(to).arg(idle.as_millis() as u64).arg(PAGE);
            if !self.hand_over_page(&script, from, to, &mut total).await? {
                break;
            }
        }
        Ok(total)
    }

    /// Moves everything that a dead consumer has left, in the stream and in its group's redrive stream, to a live one,
    /// which takes it up at its next look if `idle` is half of `claim_min_idle`. There is nobody to move it to if the
    /// two are one.
    pub async fn hand_over_dead(
        &self,
        group: &str,
        from: &str,
        to: &str,
        idle: Duration,
    ) -> Result<Handover, HandoverError> {
        if from == to {
            return Err(HandoverError::PeerGone(to.to_owned()));
        }
        let request = HandoverRequest { group, from, to, idle, only_if_dead: true };
        let mut total = Handover::default();
        for stream in [self, &self.redrive(group)] {
            match stream.handover(&request).await {
                Ok(moved) => {
                    total.moved += moved.moved;
                    total.lost.extend(moved.lost);
                }
                // Nothing has been sent back yet.
                Err(HandoverError::Redis(error)) if error.kind() == ErrorKind::NoGroup => {}
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    /// Moves these entries of one live consumer to another. Those that were never started get their delivery count
    /// back.
    pub(crate) async fn handover_rows(
        &self,
        request: &HandoverRequest<'_>,
        unstarted: &[StreamId],
        started: &[StreamId],
    ) -> Result<Handover, HandoverError> {
        let HandoverRequest { group, from, to, idle, .. } = *request;
        let mut total = Handover::default();
        let pages = unstarted.chunks(PAGE).map(|ids| (ids.len(), ids));
        for (unstarted, ids) in pages.chain(started.chunks(PAGE).map(|ids| (0, ids))) {
            let mut script = scripts::HANDOVER_ROWS.prepare_invoke();
            script.key(self.key.as_str()).key(self.key.dead_letters(group));
            script.key(self.key.consumer_lease(group, to));
            script.arg(group).arg(from).arg(to).arg(idle.as_millis() as u64).arg(unstarted).arg(ids);
            self.hand_over_page(&script, from, to, &mut total).await?;
        }
        Ok(total)
    }

    /// Whether more is left.
    async fn hand_over_page(
        &self,
        script: &ScriptInvocation<'_>,
        from: &str,
        to: &str,
        total: &mut Handover,
    ) -> Result<bool, HandoverError> {
        match self.connection.invoke("handover", script).await? {
            Page::Moved { handover, more } => {
                total.moved += handover.moved;
                total.lost.extend(handover.lost);
                Ok(more)
            }
            Page::PeerGone => Err(HandoverError::PeerGone(to.to_owned())),
            Page::SourceAlive => Err(HandoverError::SourceAlive(from.to_owned())),
        }
    }
}
