//! The steps of a rebuild by hand, on a real server, with what happens between them.

use super::*;
use crate::{
    StreamId,
    commit::{
        CommitBatch,
        tests::{Desk, GROUP, one},
    },
};

impl Desk {
    async fn status(&self) -> RebuildStatus {
        self.stream.rebuild_status(GROUP).await.unwrap()
    }

    async fn begin(&self) {
        self.stream.request_rebuild(GROUP, false).await.unwrap();
        assert_eq!(self.stream.begin_rebuild(GROUP, "test").await.unwrap(), Begun::Started);
    }

    async fn note_letters(&self) {
        let epoch = self.status().await.epoch;
        for sent_back in [false, true] {
            let page = self.stream.note_dead_letters(GROUP, epoch, sent_back, StreamId::MIN).await.unwrap();
            assert!(page.is_some());
        }
    }

    /// Replays one page up to this entry.
    async fn replay_to(&self, ids: &[StreamId]) -> Replayed {
        let mut batch = CommitBatch::new();
        for id in ids {
            batch.add(*id, *id, one).unwrap();
        }
        let (status, last) = (self.status().await, *ids.last().unwrap());
        self.stream.replay(GROUP, &status, last, ids.len(), &batch, "test").await.unwrap()
    }

    async fn swap(&self) -> i64 {
        let epoch = self.status().await.epoch;
        assert_eq!(self.stream.end_rebuild(GROUP, "swap", Some(epoch)).await.unwrap(), "swapped");
        self.counts().await.get("all").copied().unwrap_or(0)
    }
}

#[tokio::test]
async fn what_is_pending_at_the_beginning_comes_by_its_commit_whenever_that_is() {
    let desk = Desk::start().await;
    let ids = desk.append(6).await;
    desk.deliver(&desk.stream).await;
    for at in [0, 2, 4] {
        assert!(desk.live(ids[at]).await);
    }
    desk.begin().await;
    desk.note_letters().await;
    assert!(desk.live(ids[1]).await, "before its page");
    assert_eq!(desk.replay_to(&ids[..3]).await, Replayed::Applied);
    assert_eq!(desk.replay_to(&ids[3..]).await, Replayed::Applied);
    assert!(desk.live(ids[3]).await, "after its page");
    // One is still pending, one is new: both count after the swap.
    assert_eq!(desk.swap().await, 5);
    let new = desk.append(1).await[0];
    desk.deliver(&desk.stream).await;
    assert!(desk.live(ids[5]).await && desk.live(new).await);
    assert_eq!(desk.counts().await["all"], 7);
    assert_eq!(desk.status().await.counted, 7);
}

#[tokio::test]
async fn a_page_counts_once_whoever_replays_it() {
    let desk = Desk::start().await;
    let ids = desk.append(2).await;
    desk.deliver(&desk.stream).await;
    for id in &ids {
        assert!(desk.live(*id).await);
    }
    desk.begin().await;
    desk.note_letters().await;
    // A second process with the same view of the state, which is too late.
    let stale = desk.status().await;
    assert_eq!(desk.replay_to(&ids).await, Replayed::Applied);
    let mut batch = CommitBatch::new();
    batch.add(ids[0], ids[0], one).unwrap();
    let again = desk.stream.replay(GROUP, &stale, ids[0], 1, &batch, "other").await.unwrap();
    assert_eq!(again, Replayed::Elsewhere);
    assert_eq!(desk.swap().await, 2);
    let late = desk.stream.replay(GROUP, &stale, ids[0], 1, &batch, "other").await.unwrap();
    assert_eq!(late, Replayed::Moved);
}

#[tokio::test]
async fn dead_letters_count_when_they_are_sent_back_and_only_then() {
    let desk = Desk::start().await;
    let ids = desk.append(6).await;
    desk.deliver(&desk.stream).await;
    assert!(desk.live(ids[0]).await);
    let mut letters = Vec::new();
    for id in &ids[1..] {
        letters.push(desk.bury(*id).await);
    }
    desk.stream.record_position(GROUP).await.unwrap();
    // The first was applied by a redrive before the rebuild, the second waits in the redrive stream.
    let row = desk.send_back(letters[0], ids[1]).await;
    assert!(desk.redriven(row, ids[1]).await);
    let waiting = desk.send_back(letters[1], ids[2]).await;
    desk.begin().await;
    // The third is sent back and applied before the dead letters are looked at, the fourth after.
    let row = desk.send_back(letters[2], ids[3]).await;
    assert!(desk.redriven(row, ids[3]).await);
    desk.note_letters().await;
    let row = desk.send_back(letters[3], ids[4]).await;
    assert!(desk.redriven(row, ids[4]).await);
    assert_eq!(desk.replay_to(&ids).await, Replayed::Applied);
    assert!(desk.redriven(waiting, ids[2]).await);
    assert_eq!(desk.status().await.replayed, 2, "the one that was counted, and the one redriven before");
    assert_eq!(desk.swap().await, 5, "all but the one that is still a dead letter");
    let row = desk.send_back(letters[4], ids[5]).await;
    assert!(desk.redriven(row, ids[5]).await);
    assert_eq!(desk.counts().await["all"], 6);
}

#[tokio::test]
async fn a_group_recreated_at_the_beginning_changes_nothing() {
    let desk = Desk::start().await;
    let ids = desk.append(4).await;
    desk.deliver(&desk.stream).await;
    for id in &ids[..3] {
        assert!(desk.live(*id).await);
    }
    desk.begin().await;
    desk.note_letters().await;
    desk.recreate_group("0").await;
    for id in &ids[..3] {
        assert!(!desk.live(*id).await);
    }
    assert!(desk.live(ids[3]).await);
    assert_eq!(desk.replay_to(&ids).await, Replayed::Applied);
    assert_eq!(desk.swap().await, 4);
}

#[tokio::test]
async fn history_trimmed_under_the_replay_is_noticed_before_the_swap() {
    let desk = Desk::start().await;
    let ids = desk.append(4).await;
    desk.deliver(&desk.stream).await;
    for id in &ids {
        assert!(desk.live(*id).await);
    }
    desk.begin().await;
    desk.note_letters().await;
    assert_eq!(desk.replay_to(&ids[2..]).await, Replayed::Applied);
    let epoch = desk.status().await.epoch;
    assert_eq!(desk.stream.end_rebuild(GROUP, "swap", Some(epoch)).await.unwrap(), "refused");
    let status = desk.status().await;
    assert_eq!((status.phase, status.lost, status.live), (RebuildPhase::Refused, 2, 0));
    assert_eq!(desk.counts().await["all"], 4, "the live projection stays");
}

#[tokio::test]
async fn a_rebuild_holds_retention_until_it_ends() {
    let desk = Desk::start().await;
    let ids = desk.append(2).await;
    desk.deliver(&desk.stream).await;
    for id in &ids {
        assert!(desk.live(*id).await);
    }
    let hold = async || {
        desk.cmd::<Option<String>>(&["HGET", &desk.stream.key().retention_holds(), "rebuild:g"]).await
    };
    assert_eq!(hold().await, None);
    desk.begin().await;
    assert!(hold().await.unwrap().starts_with("0-0 "));
    desk.note_letters().await;
    desk.replay_to(&ids[..1]).await;
    assert!(hold().await.unwrap().starts_with(&format!("{} ", ids[0])));
    assert!(desk.stream.abort_rebuild(GROUP).await.unwrap());
    assert_eq!(hold().await, None);
    assert!(!desk.stream.abort_rebuild(GROUP).await.unwrap(), "there is none any more");
}
