//! A pipeline of appends, each of which may have a key of its own and has a result of its own.

use std::time::Duration;

use redis::{Cmd, Pipeline, Value};

use super::{Dedup, EventStream};
use crate::{
    Connection, Error, StreamId,
    connection::ExclusiveConnection,
    reply::{take_id, take_int, take_tuple, unexpected},
    scripts::APPEND_ONCE_TEXT,
};

/// An entry to append.
#[derive(Debug, Clone)]
pub struct NewEntry<'a, F> {
    /// Its fields, in order.
    pub fields: F,
    /// By what it is recognized if it is repeated; `None` appends it in any case.
    pub dedup: Option<Dedup<'a>>,
}

/// What became of one entry that the server has answered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The entry's ID; with [`Novelty::Repeated`] and [`Novelty::Conflict`] that of the entry which was there before,
    /// also if it was trimmed since.
    pub id: StreamId,
    /// Whether it was appended.
    pub novelty: Novelty,
    /// How many keys were forgotten for this one although their window had not passed: the memory is too small.
    pub forgotten: u64,
}

/// Whether an entry was appended, or recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Novelty {
    /// It was appended.
    New,
    /// It had been appended before: the key is known, with the same fingerprint. Nothing was written.
    Repeated,
    /// Something else has been appended under its key. Nothing was written.
    Conflict,
}

/// What became of a batch, and how long the stream was after it.
#[derive(Debug)]
pub struct AppendedBatch {
    /// A result for each entry, in order.
    pub results: Vec<Result<Appended, Error>>,
    /// The stream's length right after the batch; `None` if the server did not tell.
    pub length: Option<u64>,
}

impl EventStream {
    /// Appends many entries in one round trip, with a result for each, in order, and learns the stream's length (XLEN,
    /// of constant cost). An entry with a [`Dedup`] is appended once however often it is sent: one script finds the
    /// key or appends and remembers it, so that there is never the one without the other.
    ///
    /// The entries are not one transaction: some may be stored and others refused. If the connection
    /// breaks, every result is that error; entries with keys can then be sent again at no risk. 50 to 200 entries
    /// a call is sensible.
    pub async fn append_batch_counted<'a, K: AsRef<[u8]>, V: AsRef<[u8]>, F: IntoIterator<Item = (K, V)>>(
        &self,
        entries: impl IntoIterator<Item = NewEntry<'a, F>>,
    ) -> AppendedBatch {
        let batch = Batch::new(self, entries, false);
        batch.send(&mut Link::Shared(&self.connection), None).await.0
    }
}

/// Over which connection a batch goes.
pub(super) enum Link<'a> {
    Shared(&'a Connection),
    /// With how long the pipeline may block.
    Own(&'a mut ExclusiveConnection, Duration),
}

impl Link<'_> {
    async fn batch(&mut self, pipeline: &Pipeline) -> Result<Vec<Result<Value, Error>>, Error> {
        match self {
            Self::Shared(connection) => connection.batch("XADD", pipeline).await,
            Self::Own(connection, blocking) => connection.batch("XADD", pipeline, *blocking).await,
        }
    }
}

/// The commands of one batch.
pub(super) struct Batch {
    appends: Vec<Cmd>,
    has_keys: bool,
    /// Asks for the stream's length.
    xlen: Cmd,
}

impl Batch {
    /// `touches`: a repeated append writes something all the same.
    pub(super) fn new<'a, K: AsRef<[u8]>, V: AsRef<[u8]>, F: IntoIterator<Item = (K, V)>>(
        stream: &EventStream,
        entries: impl IntoIterator<Item = NewEntry<'a, F>>,
        touches: bool,
    ) -> Self {
        let mut has_keys = false;
        let append = |entry: NewEntry<'a, F>| match entry.dedup {
            Some(dedup) => {
                has_keys = true;
                let mut cmd = dedup.call(&stream.key, touches);
                stream.add_arguments(&mut cmd, entry.fields);
                cmd
            }
            None => stream.xadd(entry.fields),
        };
        let appends = entries.into_iter().map(append).collect();
        let mut xlen = redis::cmd("XLEN");
        xlen.arg(stream.key.as_str());
        Self { appends, has_keys, xlen }
    }

    /// Sends the batch as one pipeline, with `wait` at its end; also returns the replies to that, one for each time
    /// that it was sent: each speaks for what was sent with it.
    ///
    /// The script is loaded by the pipeline itself, which costs the server some microseconds: so it is there also after
    /// a restart, and entries are appended in their order. Only if somebody flushes the scripts in the
    /// middle are some appends refused, and those alone are sent again, once.
    pub(super) async fn send(
        mut self,
        link: &mut Link<'_>,
        wait: Option<&Cmd>,
    ) -> (AppendedBatch, Vec<Result<Value, Error>>) {
        let all = std::mem::take(&mut self.appends);
        let (mut batch, waited, refused) = self.send_some(link, all, wait).await;
        let mut waits = Vec::from_iter(waited);
        if !refused.is_empty() {
            let (places, again) = refused.into_iter().unzip::<_, _, Vec<usize>, Vec<Cmd>>();
            let (second, second_waited, _) = self.send_some(link, again, wait).await;
            for (place, result) in places.into_iter().zip(second.results) {
                batch.results[place] = result;
            }
            batch.length = second.length.or(batch.length);
            waits.extend(second_waited);
        }
        (batch, waits)
    }

    /// Also returns, with their places, the appends that were refused because the script is not known.
    async fn send_some(
        &self,
        link: &mut Link<'_>,
        appends: Vec<Cmd>,
        wait: Option<&Cmd>,
    ) -> (AppendedBatch, Option<Result<Value, Error>>, Vec<(usize, Cmd)>) {
        let mut pipeline = redis::pipe();
        // Without this one refused append would hide the IDs of all the others.
        pipeline.ignore_errors();
        if self.has_keys {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(APPEND_ONCE_TEXT);
        }
        let (head, count) = (usize::from(self.has_keys), appends.len());
        for append in appends {
            pipeline.add_command(append);
        }
        pipeline.add_command(self.xlen.clone());
        if let Some(wait) = wait {
            pipeline.add_command(wait.clone());
        }
        let replies = match link.batch(&pipeline).await {
            Ok(replies) => replies,
            Err(error) => {
                let waited = wait.map(|_| Err(error.clone()));
                let batch = AppendedBatch { results: vec![Err(error); count], length: None };
                return (batch, waited, Vec::new());
            }
        };
        let mut replies = replies.into_iter().skip(head);
        let results: Vec<_> = replies.by_ref().take(count).map(|reply| reply.and_then(appended)).collect();
        let length = replies.next().and_then(|reply| u64::try_from(take_int(reply.ok()?).ok()?).ok());
        let waited = replies.next();
        let unknown = |result: &Result<_, Error>| result.as_ref().is_err_and(Error::is_unknown_script);
        let refused = if results.iter().any(unknown) {
            let appends = pipeline.cmd_iter().skip(head).enumerate();
            appends
                .zip(&results)
                .filter(|(_, result)| unknown(result))
                .map(|((at, cmd), _)| (at, cmd.clone()))
                .collect()
        } else {
            Vec::new()
        };
        (AppendedBatch { results, length }, waited, refused)
    }
}

/// XADD's reply is an ID, the script's says more.
fn appended(reply: Value) -> Result<Appended, Error> {
    let parsed = match reply {
        Value::Array(_) => take_tuple(reply).and_then(|[novelty, id, forgotten]| {
            let novelty = match take_int(novelty)? {
                0 => Novelty::New,
                1 => Novelty::Repeated,
                2 => Novelty::Conflict,
                _ => return Err(unexpected("an append is neither new nor known")),
            };
            let forgotten = take_int(forgotten)?.try_into().unwrap_or(0);
            Ok(Appended { id: take_id(id)?, novelty, forgotten })
        }),
        id => take_id(id).map(|id| Appended { id, novelty: Novelty::New, forgotten: 0 }),
    };
    parsed.map_err(|error| Error::new("XADD", error.into()))
}
