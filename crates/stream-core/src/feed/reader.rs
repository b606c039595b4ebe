//! The one reader of a feed.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::watch;

use super::{Channel, Feed, News, Standing, locked};
use crate::{Entry, Error, backoff::Backoff, stream::Tail};

/// How long one read waits for entries, and so how soon a reader notices that nobody listens.
const BLOCK: Duration = Duration::from_secs(1);

/// Follows the stream until nobody listens any more.
pub(super) async fn run<T: Send + Sync + 'static>(
    feed: Feed<T>,
    channel: Arc<Mutex<Channel<T>>>,
    told: watch::Sender<()>,
) {
    let (mut tail, mut backoff) = (None, Backoff::new());
    while !feed.retire(&channel) {
        let read = read(&feed, &channel, &mut tail).await;
        match read {
            Ok(entries) => {
                backoff.reset();
                if tell(&feed, &channel, entries) {
                    told.send_replace(());
                }
            }
            Err(error) => {
                lose(&channel, &error);
                told.send_replace(());
                if !backoff.wait(&feed.0.shutdown).await {
                    return;
                }
            }
        }
    }
}

/// The next entries. The first call only finds the end of the stream.
async fn read<T>(
    feed: &Feed<T>,
    channel: &Mutex<Channel<T>>,
    tail: &mut Option<Tail>,
) -> Result<Vec<Entry>, Error> {
    if let Some(tail) = tail {
        return tail.next().await;
    }
    let connection = feed.0.connector.blocking(BLOCK)?;
    let found = feed.0.stream.tail(connection, None, BLOCK).await?;
    locked(channel).ring.begin(found.position());
    *tail = Some(found);
    Ok(Vec::new())
}

/// Whether there was anything to tell.
fn tell<T>(feed: &Feed<T>, channel: &Mutex<Channel<T>>, entries: Vec<Entry>) -> bool {
    let before = {
        let mut channel = locked(channel);
        let before = std::mem::replace(&mut channel.standing, Standing::Following);
        if matches!(before, Standing::Away(_)) {
            channel.ring.push(News::Back, 0);
        }
        before
    };
    let is_news = before != Standing::Following || !entries.is_empty();
    for entry in entries {
        // Made outside of the lock, which every listener takes.
        let id = entry.id;
        let (made, bytes) = (feed.0.make)(entry);
        locked(channel).ring.push_entry(id, made, bytes);
    }
    is_news
}

fn lose<T>(channel: &Mutex<Channel<T>>, error: &Error) {
    let reason: Arc<str> = error.to_string().into();
    let mut channel = locked(channel);
    let before = std::mem::replace(&mut channel.standing, Standing::Away(Arc::clone(&reason)));
    if !matches!(before, Standing::Away(_)) {
        tracing::warn!(%error, "the live tail has lost Redis");
        channel.ring.push(News::Away(reason), 0);
    }
}
