//! Reading through a group (XREADGROUP), and following the stream without one (XREAD).

use std::time::Duration;

use super::EventStream;
use crate::{BlockingConnection, Entry, Error, StreamId, reply::ReadReply};

impl EventStream {
    /// Reads entries that the group has delivered to nobody yet, waiting up to `block` for the first
    /// (`XREADGROUP … >`). Empty after the wait.
    ///
    /// `connection` must have been made for this `block` and be used by nobody else. The future must be
    /// awaited to its end: dropped half-way, the server still delivers to the abandoned read.
    pub async fn read_new(
        &self,
        connection: &mut BlockingConnection,
        group: &str,
        consumer: &str,
        count: usize,
        block: Duration,
    ) -> Result<Vec<Entry>, Error> {
        let mut cmd = redis::cmd("XREADGROUP");
        cmd.arg("GROUP").arg(group).arg(consumer).arg("COUNT").arg(count);
        // BLOCK 0 would wait for ever.
        cmd.arg("BLOCK").arg(block.as_millis().max(1) as u64);
        cmd.arg("STREAMS").arg(self.key.as_str()).arg(">");
        let reply: ReadReply = connection.query("XREADGROUP", &cmd).await?;
        Ok(reply.0.entries)
    }

    /// Reads entries that the group has delivered to nobody yet, without waiting for any (XREADGROUP).
    pub async fn read_now(&self, group: &str, consumer: &str, count: usize) -> Result<Vec<Entry>, Error> {
        let mut cmd = redis::cmd("XREADGROUP");
        cmd.arg("GROUP").arg(group).arg(consumer).arg("COUNT").arg(count);
        cmd.arg("STREAMS").arg(self.key.as_str()).arg(">");
        let reply: ReadReply = self.connection.query("XREADGROUP", &cmd).await?;
        Ok(reply.0.entries)
    }

    /// Reads a page of the consumer's own pending entries after `after` (`XREADGROUP` with an ID), the way
    /// back in for a consumer that restarts. Counts as a delivery of each.
    ///
    /// Entries whose payload was deleted come as the second list; they stay pending.
    pub async fn read_own_pending(
        &self,
        group: &str,
        consumer: &str,
        after: StreamId,
        count: usize,
    ) -> Result<(Vec<Entry>, Vec<StreamId>), Error> {
        let mut cmd = redis::cmd("XREADGROUP");
        cmd.arg("GROUP").arg(group).arg(consumer).arg("COUNT").arg(count);
        cmd.arg("STREAMS").arg(self.key.as_str()).arg(after);
        let reply: ReadReply = self.connection.query("XREADGROUP", &cmd).await?;
        Ok((reply.0.entries, reply.0.deleted))
    }

    /// Follows the stream from the entries after `after` on (XREAD), or from now on if `None`, outside of
    /// any group: nothing becomes pending, nothing can be acked.
    pub async fn tail(
        &self,
        connection: BlockingConnection,
        after: Option<StreamId>,
        block: Duration,
    ) -> Result<Tail, Error> {
        // `$` would be resolved anew by each read and miss what came between two of them.
        let after = match after {
            Some(id) => id,
            None => self.last_id().await?,
        };
        Ok(Tail { stream: self.clone(), connection, after, block })
    }
}

/// A live tail, made by [`EventStream::tail`].
#[derive(Debug)]
pub struct Tail {
    stream: EventStream,
    connection: BlockingConnection,
    after: StreamId,
    block: Duration,
}

/// Entries of one read of a tail.
const TAIL_PAGE: usize = 100;

impl Tail {
    /// The entry after which it goes on.
    pub(crate) const fn position(&self) -> StreamId {
        self.after
    }

    /// The next entries, at most 100; empty if none came within the block time.
    /// After an error the tail goes on where it was: nothing is skipped.
    pub async fn next(&mut self) -> Result<Vec<Entry>, Error> {
        let mut cmd = redis::cmd("XREAD");
        cmd.arg("COUNT").arg(TAIL_PAGE).arg("BLOCK").arg(self.block.as_millis().max(1) as u64);
        cmd.arg("STREAMS").arg(self.stream.key().as_str()).arg(self.after);
        let reply: ReadReply = self.connection.query("XREAD", &cmd).await?;
        if let Some(last) = reply.0.entries.last() {
            self.after = last.id;
        }
        Ok(reply.0.entries)
    }
}
