//! [`Witness`]: reads the stream as it grows, so that what retention removes from it is known as well.

use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, RedisResult, aio::MultiplexedConnection};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{evidence::RawEntry, injector::STREAM, poison::RawFields};

/// Entries of one read.
const COUNT: usize = 1_000;
/// How long a read waits for entries.
const BLOCK: Duration = Duration::from_millis(500);
/// Longer than a read takes, and not so long that a paused server costs much time.
const ANSWER: Duration = Duration::from_secs(2);
/// Between two attempts to reach a server that is away.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the last entries may take, once nothing fails any more.
const LAST: Duration = Duration::from_secs(30);

/// XREAD's reply: by stream its entries, or nothing.
type Reply = Option<Vec<(String, Vec<(String, RawFields)>)>>;

/// Another client, without a group and on no network that fails: it connects anew whenever the server does.
#[derive(Debug)]
pub(super) struct Witness {
    ending: watch::Sender<bool>,
    reading: JoinHandle<Vec<RawEntry>>,
}

impl Witness {
    /// Reads from the beginning of the stream on.
    pub(super) fn start(url: &str) -> Self {
        let (ending, ended) = watch::channel(false);
        let client = Client::open(url).expect("a URL of a server of ours");
        Self { ending, reading: tokio::spawn(read(client, ended)) }
    }

    /// Every entry that there ever was, once there is nothing more to read.
    pub(super) async fn end(self) -> Vec<RawEntry> {
        self.ending.send_replace(true);
        let entries = timeout(LAST, self.reading).await.expect("a healthy server answers");
        entries.expect("the witness does not panic")
    }
}

async fn read(client: Client, ended: watch::Receiver<bool>) -> Vec<RawEntry> {
    let mut entries: Vec<RawEntry> = Vec::new();
    loop {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER))
            .set_response_timeout(Some(BLOCK + ANSWER));
        if let Ok(mut connection) = client.get_multiplexed_async_connection_with_config(&config).await {
            // Asked before the read, so that what was there at the end is read.
            let mut is_last = *ended.borrow();
            while let Ok(more) = page(&mut connection, entries.last()).await {
                if more.is_empty() && is_last {
                    return entries;
                }
                entries.extend(more);
                is_last = *ended.borrow();
            }
        }
        sleep(PAUSE).await;
    }
}

/// What comes after an entry.
async fn page(connection: &mut MultiplexedConnection, last: Option<&RawEntry>) -> RedisResult<Vec<RawEntry>> {
    let after = last.map_or("0-0", |entry| entry.id.as_str());
    let mut read = redis::cmd("XREAD");
    read.arg("COUNT")
        .arg(COUNT)
        .arg("BLOCK")
        .arg(BLOCK.as_millis() as u64)
        .arg("STREAMS")
        .arg(STREAM)
        .arg(after);
    let reply: Reply = read.query_async(connection).await?;
    let found = reply.into_iter().flatten().flat_map(|(_, entries)| entries);
    Ok(found.map(|(id, fields)| RawEntry { id, fields }).collect())
}
