//! Consumer groups and their consumers: create, restore, delete.

use redis::{FromRedisValue, ParsingError, Value};

use super::EventStream;
use crate::{
    Error, ErrorKind, StreamId,
    reply::{take_id, take_int, take_string, take_tuple, unexpected},
    scripts,
};

/// Where a new group starts reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// At the first entry (`0-0`): a group that must see everything.
    Beginning,
    /// After the last entry there is now (`$`).
    End,
    /// After this entry.
    After(StreamId),
}

/// What became of a consumer that was taken for dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletedDead {
    /// It is gone, from the group and from the registry.
    Deleted,
    /// Entries are pending for it; it was left as it is.
    Pending,
    /// Its name is held: it is not dead. It was left as it is.
    Alive,
}

impl FromRedisValue for DeletedDead {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        Ok(match take_string(value)?.as_str() {
            "deleted" => Self::Deleted,
            "pending" => Self::Pending,
            "alive" => Self::Alive,
            _ => return Err(unexpected("an unknown outcome of a deletion")),
        })
    }
}

/// A stream ID, or nothing.
struct MaybeId(Option<StreamId>);

impl FromRedisValue for MaybeId {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        if value == Value::Nil { Ok(Self(None)) } else { take_id(value).map(|id| Self(Some(id))) }
    }
}

/// The recorded position, and whether dead letters are left to be noted before it can rise.
struct PositionStep {
    recorded: StreamId,
    more: bool,
}

impl FromRedisValue for PositionStep {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let [recorded, more] = take_tuple(value)?;
        Ok(Self { recorded: take_id(recorded)?, more: take_int(more)? == 1 })
    }
}

/// Pages of 1,000 dead letters noted by one recording of a position; what is left is for the next one.
const LETTER_PAGES_MAX: usize = 50;
impl EventStream {
    /// Creates a consumer group, and the stream if there is none (XGROUP CREATE … MKSTREAM).
    /// Returns whether it was created; a group that exists is left as it is.
    pub async fn ensure_group(&self, group: &str, start: StartAt) -> Result<bool, Error> {
        let mut cmd = redis::cmd("XGROUP");
        cmd.arg("CREATE").arg(self.key.as_str()).arg(group);
        match start {
            StartAt::Beginning => cmd.arg(StreamId::MIN),
            StartAt::End => cmd.arg("$"),
            StartAt::After(id) => cmd.arg(id),
        };
        cmd.arg("MKSTREAM");
        match self.connection.query::<Value>("XGROUP CREATE", &cmd).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("BUSYGROUP") => Ok(false),
            // A full server refuses before it looks; a group that exists can be drained all the same.
            Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                if self.groups().await?.iter().any(|known| known.name == group) {
                    Ok(false)
                } else {
                    Err(error)
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Creates a group where it left off: at its recorded position, else at the beginning, never at `$`.
    /// Returns whether it was created, and the position used.
    pub async fn restore_group(&self, group: &str) -> Result<(bool, StreamId), Error> {
        let mut get = redis::cmd("GET");
        get.arg(self.key.position(group));
        let recorded: MaybeId = self.connection.query("GET position", &get).await?;
        let position = recorded.0.unwrap_or(StreamId::MIN);
        let created = self.ensure_group(group, StartAt::After(position)).await?;
        Ok((created, position))
    }

    /// Records the group's low watermark, the ID up to which every entry is settled, for
    /// [`restore_group`](Self::restore_group). It only ever rises. Returns the recorded position.
    pub async fn record_position(&self, group: &str) -> Result<StreamId, Error> {
        let key = &self.key;
        let mut recorded = StreamId::MIN;
        for _ in 0..LETTER_PAGES_MAX {
            let mut script = scripts::RECORD_POSITION.prepare_invoke();
            script.key(key.as_str()).key(key.position(group)).key(key.applied(group));
            script.key(key.dead_letters(group)).key(key.redrive(group).as_str());
            script
                .key(key.dead_above_position(group))
                .key(key.redriven(group))
                .key(key.dead_letters_noted(group));
            let step: PositionStep = self.connection.invoke("record position", script.arg(group)).await?;
            recorded = step.recorded;
            if !step.more {
                break;
            }
        }
        Ok(recorded)
    }

    /// Lists a consumer before its first delivery (XGROUP CREATECONSUMER). On a full server, which refuses that, its
    /// first read lists it.
    pub async fn create_consumer(&self, group: &str, consumer: &str) -> Result<(), Error> {
        let mut cmd = redis::cmd("XGROUP");
        cmd.arg("CREATECONSUMER").arg(self.key.as_str()).arg(group).arg(consumer);
        match self.connection.query::<Value>("XGROUP CREATECONSUMER", &cmd).await {
            Err(error) if error.kind() != ErrorKind::OutOfMemory => Err(error),
            _ => Ok(()),
        }
    }

    /// Deletes a consumer if, and only if, nothing is pending for it; both in one step, since
    /// XGROUP DELCONSUMER destroys pending rows. Returns whether it was deleted.
    pub async fn delete_idle_consumer(&self, group: &str, consumer: &str) -> Result<bool, Error> {
        let mut script = scripts::DELETE_CONSUMER.prepare_invoke();
        script.key(self.key.as_str()).arg(group).arg(consumer);
        let deleted: i64 = self.connection.invoke("delete consumer", &script).await?;
        Ok(deleted == 1)
    }

    /// Deletes a consumer whose name nobody holds, from the group of the stream and of its redrive stream and from the
    /// registry, if and only if nothing is pending for it; all in one step.
    pub async fn delete_dead_consumer(&self, group: &str, consumer: &str) -> Result<DeletedDead, Error> {
        let key = &self.key;
        let mut script = scripts::DELETE_DEAD.prepare_invoke();
        script.key(key.as_str()).key(key.redrive(group).as_str());
        script.key(key.consumer_lease(group, consumer)).key(key.workers());
        script.arg(group).arg(consumer).arg(format!("{group}/{consumer}"));
        self.connection.invoke("delete dead consumer", &script).await
    }

    /// Deletes the stream with all of its groups (DEL). Dead letters and positions stay.
    pub async fn delete_stream(&self) -> Result<bool, Error> {
        let mut cmd = redis::cmd("DEL");
        cmd.arg(self.key.as_str());
        let deleted: i64 = self.connection.query("DEL", &cmd).await?;
        Ok(deleted == 1)
    }
}
