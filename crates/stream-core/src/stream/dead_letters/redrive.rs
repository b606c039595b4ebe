//! Sending one dead letter back to the group that failed it.

use redis::{FromRedisValue, ParsingError, Value};

use super::DeadLetters;
use crate::{
    Error, StreamId,
    reply::{take_array, take_id, take_string, unexpected},
    scripts,
};

/// What became of a redrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedriveOutcome {
    /// It is no dead letter any more, but this entry of the group's redrive stream.
    Sent(StreamId),
    /// It is not there: sent back before, purged, or dropped.
    Absent,
    /// It has no payload that could be sent back; it stays.
    PayloadLost,
    /// Somebody else has written it: it tells of no entry. It stays.
    Unreadable,
}

/// The script's reply.
enum Reply {
    Done(RedriveOutcome),
    /// More fields than a script can pass on; nothing was done.
    Oversize,
}

impl FromRedisValue for Reply {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut items = take_array(value)?.into_iter();
        let outcome = take_string(items.next().unwrap_or(Value::Nil))?;
        Ok(Self::Done(match outcome.as_str() {
            "sent" => RedriveOutcome::Sent(take_id(items.next().unwrap_or(Value::Nil))?),
            "absent" => RedriveOutcome::Absent,
            "payload_lost" => RedriveOutcome::PayloadLost,
            "unreadable" => RedriveOutcome::Unreadable,
            "oversize" => return Ok(Self::Oversize),
            _ => return Err(unexpected("an unknown outcome of a redrive")),
        }))
    }
}

impl DeadLetters {
    /// Sends the dead letter `id` back to its group, and to no other: one step deletes it here and adds it to the
    /// group's redrive stream, as `_redrive_of` (the entry's ID in the stream), `_redrive_count`, then the original
    /// fields byte for byte. Doing it again does nothing, whoever does it.
    ///
    /// What the server refuses (a full server, a key of another type) leaves it here. After an error for which
    /// [`Error::may_have_been_applied`] holds it is in one of the two places, never in both or neither.
    pub async fn redrive(&self, id: StreamId) -> Result<RedriveOutcome, Error> {
        let redrive = self.stream.key().redrive(&self.group);
        let mut script = scripts::REDRIVE.prepare_invoke();
        script.key(&self.key).key(redrive.as_str()).arg(&self.group).arg(id);
        match self.stream.connection().invoke::<Reply>("redrive", &script).await? {
            Reply::Done(redriven) => Ok(redriven),
            Reply::Oversize => self.redrive_wide(id).await,
        }
    }
}
