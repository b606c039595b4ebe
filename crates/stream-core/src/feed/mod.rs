//! [`Feed`]: one reader follows the stream while somebody listens, and everybody hears what it reads.

mod listener;
mod reader;
mod ring;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::ring::Ring;
use crate::{Connector, Entry, EventStream, StreamId};

pub use self::listener::{Heard, Listener};

/// How much a feed keeps for listeners that have not heard it yet. Whoever is further behind misses what was in between,
/// and is told so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedBounds {
    /// Entries, at least 1.
    pub entries: usize,
    /// Bytes of what was made of them; the newest is kept however large it is.
    pub bytes: usize,
}

/// What a feed tells.
#[derive(Debug)]
pub enum News<T> {
    /// An entry was added; its ID, and what was made of it.
    Entry(StreamId, Arc<T>),
    /// Redis does not answer; why.
    Away(Arc<str>),
    /// It does again. The reader goes on where it was.
    Back,
}

impl<T> Clone for News<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Entry(id, made) => Self::Entry(*id, Arc::clone(made)),
            Self::Away(reason) => Self::Away(Arc::clone(reason)),
            Self::Back => Self::Back,
        }
    }
}

/// Makes of an entry what is told, once for all listeners, and says how many bytes that is.
type Make<T> = dyn Fn(Entry) -> (T, usize) + Send + Sync;

/// The entries of a stream as they are added, for any number of listeners.
///
/// The first listener starts a reader (XREAD over a connection of its own), which ends about a second after the last one
/// has gone. Clones share it.
pub struct Feed<T>(Arc<Shared<T>>);

struct Shared<T> {
    connector: Connector,
    stream: EventStream,
    bounds: FeedBounds,
    make: Box<Make<T>>,
    shutdown: CancellationToken,
    running: Mutex<Option<Running<T>>>,
}

/// The reader that runs.
struct Running<T> {
    channel: Arc<Mutex<Channel<T>>>,
    /// Changes with each news; closed once the reader has ended.
    told: watch::Receiver<()>,
}

/// What a reader and its listeners share.
struct Channel<T> {
    ring: Ring<T>,
    standing: Standing,
    listeners: usize,
}

/// How the reader stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// It looks for the end of the stream.
    Starting,
    Following,
    Away(Arc<str>),
}

impl<T> Clone for Feed<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Feed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("stream", &self.0.stream.key()).finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> Feed<T> {
    /// A feed of what `make` makes of each entry, with its size in bytes. Reads nothing until somebody listens, and
    /// nothing any more once `shutdown` is cancelled.
    pub fn new(
        connector: Connector,
        stream: EventStream,
        bounds: FeedBounds,
        shutdown: CancellationToken,
        make: impl Fn(Entry) -> (T, usize) + Send + Sync + 'static,
    ) -> Self {
        let (make, running) = (Box::new(make), Mutex::default());
        Self(Arc::new(Shared { connector, stream, bounds, make, shutdown, running }))
    }

    /// Listens to what is added from now on: whatever is added after this has returned will be heard, or told to be
    /// missed. If Redis is away, it is what is added from the moment on that it answers.
    pub async fn listen(&self) -> Listener<T> {
        let mut listener = self.join();
        listener.started().await;
        listener
    }

    fn join(&self) -> Listener<T> {
        let mut running = locked(&self.0.running);
        // A reader whose end was not meant, a panic's, is replaced.
        let ended = |running: &Running<T>| running.told.has_changed().is_err();
        if running.as_ref().is_none_or(|running| ended(running) && !self.0.shutdown.is_cancelled()) {
            *running = Some(self.start());
        }
        let Some(running) = &*running else { unreachable!("it was started just now") };
        Listener::new(Arc::clone(&running.channel), running.told.clone())
    }

    fn start(&self) -> Running<T> {
        let ring = Ring::new(self.0.bounds);
        let channel = Arc::new(Mutex::new(Channel { ring, standing: Standing::Starting, listeners: 0 }));
        let (teller, told) = watch::channel(());
        let task = reader::run(self.clone(), Arc::clone(&channel), teller);
        let shutdown = self.0.shutdown.clone();
        tokio::spawn(async move { shutdown.run_until_cancelled(task).await });
        Running { channel, told }
    }

    /// Ends the reader of `channel` if nobody listens any more; whoever comes next starts another one. Whether it is to
    /// end.
    fn retire(&self, channel: &Mutex<Channel<T>>) -> bool {
        // Whoever joins does so under this lock.
        let mut running = locked(&self.0.running);
        let is_alone = locked(channel).listeners == 0;
        if is_alone {
            *running = None;
        }
        is_alone
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
