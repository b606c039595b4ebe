//! The live tail: one reader follows the stream while somebody listens, and everybody gets what it reads.

mod filter;
mod reader;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use filter::Filter;
use stream_core::{Connector, EventStream};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::entry_json::EntryJson;

/// What is told to everybody who listens.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// An entry was added; with it, the same as JSON.
    Entry(Arc<(EntryJson, String)>),
    /// Redis does not answer; why.
    Away(Arc<str>),
    /// It does again. Nothing was missed.
    Back,
}

/// How the reader stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// It looks for the end of the stream.
    Starting,
    Following,
    Away(Arc<str>),
}

/// The live tail. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Tails(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    connector: Connector,
    stream: EventStream,
    /// Entries that a listener may be behind.
    buffer: usize,
    shutdown: CancellationToken,
    reader: Mutex<Option<Running>>,
}

/// The reader that runs.
#[derive(Debug, Clone)]
struct Running {
    news: broadcast::Sender<News>,
    standing: watch::Receiver<Standing>,
}

/// Listens to the tail.
#[derive(Debug)]
pub(crate) struct Listener {
    news: broadcast::Receiver<News>,
    /// Why Redis was away when it began to listen, if it was.
    pub(crate) away: Option<Arc<str>>,
}

/// What a listener gets.
#[derive(Debug)]
pub(crate) enum Heard {
    News(News),
    /// It was too slow, and has missed so many.
    Skipped(u64),
}

impl Tails {
    /// Reads nothing until somebody listens.
    pub(crate) fn new(
        connector: Connector,
        stream: EventStream,
        buffer: usize,
        shutdown: CancellationToken,
    ) -> Self {
        Self(Arc::new(Shared { connector, stream, buffer, shutdown, reader: Mutex::default() }))
    }

    /// Listens to what is added from now on: whatever is added after this has returned will be heard.
    pub(crate) async fn listen(&self) -> Listener {
        let (news, mut standing) = self.join();
        // An error says that the reader has ended, with the service.
        let standing = standing.wait_for(|standing| *standing != Standing::Starting).await;
        let away = match standing.as_deref() {
            Ok(Standing::Away(reason)) => Some(Arc::clone(reason)),
            _ => None,
        };
        Listener { news, away }
    }

    fn join(&self) -> (broadcast::Receiver<News>, watch::Receiver<Standing>) {
        let mut reader = self.reader();
        let running = reader.get_or_insert_with(|| {
            let (news, _) = broadcast::channel(self.0.buffer);
            let (told, standing) = watch::channel(Standing::Starting);
            let running = Running { news, standing };
            let task = reader::run(self.clone(), running.news.clone(), told);
            let shutdown = self.0.shutdown.clone();
            tokio::spawn(async move { shutdown.run_until_cancelled(task).await });
            running
        });
        (running.news.subscribe(), running.standing.clone())
    }

    /// Ends the reader if nobody listens any more; whoever comes next starts another one. Whether it is to end.
    fn retire(&self) -> bool {
        let mut reader = self.reader();
        let is_alone = reader.as_ref().is_none_or(|running| running.news.receiver_count() == 0);
        if is_alone {
            *reader = None;
        }
        is_alone
    }

    fn reader(&self) -> MutexGuard<'_, Option<Running>> {
        self.0.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// What comes next; `None` once nothing comes any more.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        match self.news.recv().await {
            Ok(news) => Some(Heard::News(news)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Heard::Skipped(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
