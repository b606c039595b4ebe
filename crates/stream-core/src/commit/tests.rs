//! Commits by hand, on a real server: what counts, and what does not, where deliveries and redrives meet.

use std::{collections::HashMap, convert::Infallible};

use testkit::RedisServer;

use super::*;
use crate::{ConnectSettings, Connector, StartAt};

pub(crate) const GROUP: &str = "g";

/// A stream with a group, and somebody who takes what is to be delivered.
pub(crate) struct Desk {
    _server: RedisServer,
    pub(crate) stream: EventStream,
}

impl Desk {
    pub(crate) async fn start() -> Self {
        let server = RedisServer::start().await;
        let settings = ConnectSettings { url: server.url(), ..ConnectSettings::default() };
        let connection = Connector::new(settings).unwrap().commands().unwrap();
        let stream = EventStream::new(connection, StreamKey::new(server.unique_stream("orders")).unwrap());
        stream.ensure_group(GROUP, StartAt::Beginning).await.unwrap();
        stream.redrive(GROUP).ensure_group(GROUP, StartAt::Beginning).await.unwrap();
        Self { _server: server, stream }
    }

    pub(crate) async fn cmd<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut cmd = redis::cmd(words[0]);
        cmd.arg(&words[1..]);
        self.stream.connection().query("test", &cmd).await.unwrap()
    }

    pub(crate) async fn append(&self, count: usize) -> Vec<StreamId> {
        let ids = self.stream.append_batch((0..count).map(|n| [("n", n.to_string())])).await;
        ids.into_iter().map(Result::unwrap).collect()
    }

    /// Delivers everything there is in the stream or in the redrive stream.
    pub(crate) async fn deliver(&self, stream: &EventStream) {
        let key = stream.key().as_str();
        let words = ["XREADGROUP", "GROUP", GROUP, "c", "COUNT", "1000", "STREAMS", key, ">"];
        self.cmd::<Value>(&words).await;
    }

    /// Makes a dead letter of a delivered entry, as the worker does, and sends it back, as an operator does.
    pub(crate) async fn bury(&self, id: StreamId) -> StreamId {
        let (reason, fields) = (crate::DeadReason::Poison, crate::Fields::default());
        self.stream.dead_letter(GROUP, "c", id, reason, "not understood", &fields).await.unwrap();
        let newest: Vec<(StreamIdText, Value)> =
            self.cmd(&["XREVRANGE", &self.stream.key().dead_letters(GROUP), "+", "-", "COUNT", "1"]).await;
        newest[0].0.parse().unwrap()
    }

    /// Sends a dead letter back; the ID of its row in the redrive stream, delivered.
    pub(crate) async fn send_back(&self, letter: StreamId, original: StreamId) -> StreamId {
        let redrive = self.stream.redrive(GROUP);
        self.cmd::<i64>(&["XDEL", &self.stream.key().dead_letters(GROUP), &letter.to_string()]).await;
        let original = original.to_string();
        let row: StreamIdText =
            self.cmd(&["XADD", redrive.key().as_str(), "*", "_redrive_of", &original, "n", "1"]).await;
        self.deliver(&redrive).await;
        row.parse().unwrap()
    }

    /// Commits an entry to the generations that there are; whether it was applied.
    pub(crate) async fn commit(&self, stream: &EventStream, row: StreamId, id: StreamId) -> bool {
        let mut batch = CommitBatch::new();
        batch.add(row, id, one).unwrap();
        let mut generations = Generations::default();
        loop {
            match stream.commit(GROUP, &batch, generations).await.unwrap() {
                Committed::Moved(told) => generations = told,
                Committed::Applied { not_pending, .. } => return not_pending.is_empty(),
                Committed::Overflow(message) => panic!("{message}"),
            }
        }
    }

    pub(crate) async fn live(&self, id: StreamId) -> bool {
        self.commit(&self.stream, id, id).await
    }

    pub(crate) async fn redriven(&self, row: StreamId, id: StreamId) -> bool {
        self.commit(&self.stream.redrive(GROUP), row, id).await
    }

    /// How often each entry was counted in the live generation.
    pub(crate) async fn counts(&self) -> HashMap<String, i64> {
        self.stream.projected(GROUP).await.unwrap().hash("counts").await.unwrap().into_iter().collect()
    }

    pub(crate) async fn recreate_group(&self, at: &str) {
        self.cmd::<i64>(&["XGROUP", "DESTROY", self.stream.key().as_str(), GROUP]).await;
        self.cmd::<Value>(&["XGROUP", "CREATE", self.stream.key().as_str(), GROUP, at]).await;
        self.deliver(&self.stream).await;
    }
}

type StreamIdText = String;

/// Counts an entry.
#[expect(clippy::unnecessary_wraps, reason = "the shape of a projection")]
pub(crate) fn one(effects: &mut Effects<'_>) -> Result<(), Infallible> {
    effects.hash_increment("counts", "all", 1);
    Ok(())
}

async fn all(desk: &Desk) -> i64 {
    desk.counts().await.get("all").copied().unwrap_or(0)
}

#[tokio::test]
async fn a_redriven_entry_counts_once_and_leaves_the_redrive_stream() {
    let desk = Desk::start().await;
    let id = desk.append(1).await[0];
    desk.deliver(&desk.stream).await;
    let letter = desk.bury(id).await;
    // The position has passed it: for the stream it is settled.
    assert_eq!(desk.stream.record_position(GROUP).await.unwrap(), id);
    let row = desk.send_back(letter, id).await;
    assert!(desk.redriven(row, id).await);
    assert!(!desk.redriven(row, id).await, "acked");
    let left: u64 = desk.cmd(&["XLEN", desk.stream.redrive(GROUP).key().as_str()]).await;
    assert_eq!((all(&desk).await, left), (1, 0));
}

#[tokio::test]
async fn two_dead_letters_of_one_entry_count_once() {
    let desk = Desk::start().await;
    let id = desk.append(1).await[0];
    desk.deliver(&desk.stream).await;
    let first = desk.bury(id).await;
    desk.recreate_group("0").await;
    let second = desk.bury(id).await;
    let (first, second) = (desk.send_back(first, id).await, desk.send_back(second, id).await);
    assert!(desk.redriven(first, id).await);
    assert!(!desk.redriven(second, id).await);
    // Nor does the stream count it once more.
    desk.recreate_group("0").await;
    assert!(!desk.live(id).await);
    let left: u64 = desk.cmd(&["XLEN", desk.stream.redrive(GROUP).key().as_str()]).await;
    assert_eq!((all(&desk).await, left), (1, 0), "the second is settled as well");
}

#[tokio::test]
async fn an_entry_counted_in_spite_of_its_dead_letter_is_not_counted_by_the_redrive() {
    let desk = Desk::start().await;
    let ids = desk.append(3).await;
    desk.deliver(&desk.stream).await;
    let letter = desk.bury(ids[1]).await;
    // Recreated where it was recorded last, the group delivers the entry again, and this version understands it.
    desk.recreate_group("0").await;
    for id in &ids {
        assert!(desk.live(*id).await);
    }
    // The position passes it, and what was applied below is forgotten.
    let later = desk.append(1).await[0];
    desk.deliver(&desk.stream).await;
    assert!(desk.live(later).await);
    assert_eq!(desk.stream.record_position(GROUP).await.unwrap(), later);
    let row = desk.send_back(letter, ids[1]).await;
    assert!(!desk.redriven(row, ids[1]).await);
    assert_eq!(all(&desk).await, 4);
}

#[tokio::test]
async fn the_position_waits_until_many_dead_letters_are_noted() {
    let desk = Desk::start().await;
    let id = desk.append(1).await[0];
    desk.deliver(&desk.stream).await;
    let dlq = desk.stream.key().dead_letters(GROUP);
    for _ in 0..2_500 {
        desk.cmd::<String>(&["XADD", &dlq, "*", "_dl_id", "9-9"]).await;
    }
    let letter = desk.bury(id).await;
    desk.recreate_group("0").await;
    assert!(desk.live(id).await);
    let later = desk.append(1).await[0];
    desk.deliver(&desk.stream).await;
    assert!(desk.live(later).await);
    assert_eq!(desk.stream.record_position(GROUP).await.unwrap(), later);
    let row = desk.send_back(letter, id).await;
    assert!(!desk.redriven(row, id).await, "the last of 2,501 dead letters was noted in time");
}

#[tokio::test]
async fn a_rejected_entry_that_was_counted_before_is_acked_and_another_is_left() {
    let desk = Desk::start().await;
    let ids = desk.append(2).await;
    desk.deliver(&desk.stream).await;
    assert!(desk.live(ids[0]).await);
    desk.recreate_group("0").await;
    let mut batch = CommitBatch::new();
    for id in &ids {
        batch.add_rejected(*id, *id);
    }
    let committed = desk.stream.commit(GROUP, &batch, Generations::default()).await.unwrap();
    assert_eq!(committed, Committed::Applied { not_pending: vec![0], rejected: vec![1] });
    let pending = desk.stream.pending(GROUP, &crate::PendingFilter::default()).await.unwrap();
    assert_eq!(pending.iter().map(|row| row.id).collect::<Vec<_>>(), ids[1..]);
}

#[tokio::test]
async fn the_pipelines_own_keys_are_refused_and_nothing_is_added() {
    let desk = Desk::start().await;
    let id = desk.append(1).await[0];
    desk.deliver(&desk.stream).await;
    let mut batch = CommitBatch::new();
    for reserved in ["dlq:g", "pos:g", "workers", "gen:g:1:x", "projection:g"] {
        let added = batch.add(id, id, |effects| {
            effects.hash_increment(reserved, "f", 1);
            one(effects)
        });
        assert!(matches!(added, Err(NotAdded::ReservedKey(key)) if key == reserved));
    }
    batch.add(id, id, one).unwrap();
    desk.stream.commit(GROUP, &batch, Generations::default()).await.unwrap();
    assert_eq!(all(&desk).await, 1);
}

#[tokio::test]
async fn a_commit_for_other_generations_writes_nothing() {
    let desk = Desk::start().await;
    let id = desk.append(1).await[0];
    desk.deliver(&desk.stream).await;
    let mut batch = CommitBatch::new();
    batch.add(id, id, one).unwrap();
    let old = Generations { epoch: 7, live: 3, next: None };
    let told = desk.stream.commit(GROUP, &batch, old).await.unwrap();
    assert_eq!(told, Committed::Moved(Generations::default()));
    assert_eq!(desk.stream.pending_summary(GROUP).await.unwrap().count, 1);
    assert_eq!(all(&desk).await, 0);
}
