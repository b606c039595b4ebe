//! Sending back a dead letter that has more fields than a script can pass on: a transaction that watches both keys.

use redis::{Cmd, FromRedisValue, Pipeline, Value, aio::MultiplexedConnection};

use super::{DeadLetter, DeadLetters, RedriveOutcome};
use crate::{
    Error, StartAt, StreamId, StreamKey,
    reply::{EntriesReply, take_id},
    scripts,
};

const OPERATION: &str = "redrive (wide)";

/// Attempts while others keep writing to the same keys.
const ATTEMPTS_MAX: usize = 50;

impl DeadLetters {
    /// Like the script: both writes or none. Redis does not roll a transaction back and goes on with one of which a
    /// command failed: the delete looks whether the append did not.
    pub(super) async fn redrive_wide(&self, id: StreamId) -> Result<RedriveOutcome, Error> {
        let redrive = self.stream.redrive(&self.group);
        let mut connection = self.stream.connection().exclusive(OPERATION).await?;
        for _ in 0..ATTEMPTS_MAX {
            // Fails if the key holds something else, before anything is written.
            redrive.ensure_group(&self.group, StartAt::Beginning).await?;
            if let Some(redriven) = self.attempt(&mut connection, redrive.key(), id).await? {
                return Ok(redriven);
            }
        }
        let busy =
            "the dead letters or the redrive stream changed at each attempt; nothing was done, try again";
        Err(Error::new(OPERATION, redis::RedisError::from((redis::ErrorKind::Client, busy))))
    }

    /// One attempt; `None` if somebody wrote to one of the keys meanwhile.
    async fn attempt(
        &self,
        connection: &mut MultiplexedConnection,
        redrive: &StreamKey,
        id: StreamId,
    ) -> Result<Option<RedriveOutcome>, Error> {
        let redrive = redrive.as_str();
        send::<Value>(connection, redis::cmd("WATCH").arg(&self.key).arg(redrive)).await?;
        if send::<String>(connection, redis::cmd("TYPE").arg(redrive)).await? != "stream" {
            return Ok(None);
        }
        let mut last = redis::cmd("XREVRANGE");
        last.arg(redrive).arg("+").arg("-").arg("COUNT").arg(1);
        let last = send::<EntriesReply>(connection, &last).await?.entries.pop();
        let newest = last.map_or_else(String::new, |entry| entry.id.to_string());
        let mut range = redis::cmd("XRANGE");
        let mut found = send::<EntriesReply>(connection, range.arg(&self.key).arg(id).arg(id)).await?.entries;
        let Some(entry) = found.pop() else { return Ok(Some(RedriveOutcome::Absent)) };
        let Ok(letter) = DeadLetter::parse(entry) else { return Ok(Some(RedriveOutcome::Unreadable)) };
        let mut append = redis::cmd("XADD");
        append.arg(redrive).arg("*").arg("_redrive_of").arg(letter.entry_id);
        append.arg("_redrive_count").arg(letter.redrives.saturating_add(1));
        for (field, value) in letter.fields.iter() {
            append.arg(field).arg(value);
        }
        let mut delete = redis::cmd("EVAL");
        delete.arg(scripts::WIDE_REDRIVEN).arg(2).arg(&self.key).arg(redrive).arg(id).arg(newest);
        let mut transaction = Pipeline::new();
        transaction.atomic().add_command(append).add_command(delete).ignore();
        let reply: Value =
            transaction.query_async(connection).await.map_err(|error| Error::new(OPERATION, error))?;
        match reply {
            Value::Nil => Ok(None),
            Value::Array(mut replies) if !replies.is_empty() => take_id(replies.swap_remove(0))
                .map(|sent| Some(RedriveOutcome::Sent(sent)))
                .map_err(|error| Error::new(OPERATION, error.into())),
            other => Err(Error::new(OPERATION, crate::reply::unexpected(&format!("{other:?}")).into())),
        }
    }
}

async fn send<T: FromRedisValue>(connection: &mut MultiplexedConnection, cmd: &Cmd) -> Result<T, Error> {
    cmd.query_async(connection).await.map_err(|error| Error::new(OPERATION, error))
}
