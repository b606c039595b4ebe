//! The one reader of the live tail.

use std::{sync::Arc, time::Duration};

use stream_core::{Entry, Error, Tail};
use tokio::{
    sync::{broadcast, watch},
    time::sleep,
};

use super::{News, Standing, Tails};
use crate::entry_json::EntryJson;

/// How long one read waits for entries, and so how soon a reader notices that nobody listens.
const BLOCK: Duration = Duration::from_secs(1);
/// From one attempt to the next while Redis is away.
const RETRY_EVERY: Duration = Duration::from_millis(500);
/// Of an entry no more is sent, and compared with filters.
const ENTRY_BYTES_MAX: usize = 64 * 1024;

/// Follows the stream until nobody listens any more.
pub(super) async fn run(tails: Tails, news: broadcast::Sender<News>, standing: watch::Sender<Standing>) {
    let mut tail = None;
    while !tails.retire() {
        match read(&tails, &mut tail).await {
            Ok(entries) => {
                let before = standing.send_replace(Standing::Following);
                if matches!(before, Standing::Away(_)) {
                    tell(&news, News::Back);
                }
                for entry in &entries {
                    let entry = EntryJson::from(entry).cut(ENTRY_BYTES_MAX);
                    // A struct of strings always serializes.
                    let json = serde_json::to_string(&entry).unwrap_or_default();
                    tell(&news, News::Entry(Arc::new((entry, json))));
                }
            }
            Err(error) => {
                let reason: Arc<str> = error.to_string().into();
                let before = standing.send_replace(Standing::Away(Arc::clone(&reason)));
                if !matches!(before, Standing::Away(_)) {
                    tracing::warn!(%error, "the live tail has lost Redis");
                    tell(&news, News::Away(reason));
                }
                sleep(RETRY_EVERY).await;
            }
        }
    }
}

/// The next entries. The first call only finds the end of the stream.
async fn read(tails: &Tails, tail: &mut Option<Tail>) -> Result<Vec<Entry>, Error> {
    if let Some(tail) = tail {
        return tail.next().await;
    }
    let connection = tails.0.connector.blocking(BLOCK)?;
    *tail = Some(tails.0.stream.tail(connection, None, BLOCK).await?);
    Ok(Vec::new())
}

fn tell(news: &broadcast::Sender<News>, what: News) {
    // The last listener may have gone just now.
    _ = news.send(what);
}
