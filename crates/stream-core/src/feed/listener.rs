//! [`Listener`]: somebody who hears what a feed tells, at a pace of their own.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use tokio::{sync::watch, task::coop::consume_budget};

use super::{Channel, News, Standing, locked, ring::Looked};
use crate::StreamId;

/// Listens to a [`Feed`](super::Feed). The reader goes on while it exists.
pub struct Listener<T> {
    channel: Arc<Mutex<Channel<T>>>,
    told: watch::Receiver<()>,
    /// The number of what it hears next.
    next: u64,
}

/// What a listener hears.
#[derive(Debug)]
pub enum Heard<T> {
    /// What the feed tells.
    News(News<T>),
    /// It was too slow: so many news were dropped before it had heard them. It goes on with the oldest that are left.
    Skipped(u64),
}

impl<T> fmt::Debug for Listener<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("next", &self.next).finish_non_exhaustive()
    }
}

impl<T> Listener<T> {
    pub(super) fn new(channel: Arc<Mutex<Channel<T>>>, told: watch::Receiver<()>) -> Self {
        let next = {
            let mut channel = locked(&channel);
            channel.listeners += 1;
            channel.ring.end()
        };
        Self { channel, told, next }
    }

    /// Waits until the reader has found the end of the stream, or that Redis is away.
    pub(super) async fn started(&mut self) {
        loop {
            // Before the look, so that no change after it is missed.
            self.told.mark_unchanged();
            {
                let channel = locked(&self.channel);
                if channel.standing != Standing::Starting {
                    self.next = channel.ring.end();
                    return;
                }
            }
            // An error says that the reader has ended, with the service.
            if self.told.changed().await.is_err() {
                return;
            }
        }
    }

    /// Why Redis is away, if it is.
    pub fn away(&self) -> Option<Arc<str>> {
        match &locked(&self.channel).standing {
            Standing::Away(reason) => Some(Arc::clone(reason)),
            _ => None,
        }
    }

    /// The newest entry that the reader has read, or that the stream ended with when it began; unknown before that.
    pub fn newest(&self) -> Option<StreamId> {
        locked(&self.channel).ring.last()
    }

    /// Goes on with what was added after the entry `id`. `false`, and nothing has changed, if the feed does not hold all of
    /// it any more, or never did.
    pub fn go_on_after(&mut self, id: StreamId) -> bool {
        let number = locked(&self.channel).ring.number_after(id);
        self.next = number.unwrap_or(self.next);
        number.is_some()
    }

    /// What comes next; `None` once nothing comes any more. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Heard<T>> {
        // Somebody who is behind finds something at each call, and must not keep the thread to themselves.
        consume_budget().await;
        loop {
            self.told.mark_unchanged();
            {
                let channel = locked(&self.channel);
                match channel.ring.look(self.next) {
                    Looked::News(news) => {
                        self.next += 1;
                        return Some(Heard::News(news));
                    }
                    Looked::Gone(missed) => {
                        self.next = channel.ring.first();
                        return Some(Heard::Skipped(missed));
                    }
                    Looked::Nothing => {}
                }
            }
            self.told.changed().await.ok()?;
        }
    }
}

impl<T> Drop for Listener<T> {
    fn drop(&mut self) {
        locked(&self.channel).listeners -= 1;
    }
}
