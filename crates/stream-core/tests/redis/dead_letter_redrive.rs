//! Sending one dead letter back: byte for byte, once, and to be found in one place whatever fails.

use std::time::Duration;

use stream_core::{
    DeadLetters, DeadReason, Entry, Error, ErrorKind, EventStream, Fields, RangeQuery, RedriveOutcome,
    SettledDead, StreamId,
};
use testkit::{RedisServer, eventually};

use crate::support::{Bench, GROUP, SOON, text};

/// Lets an entry with these fields die in the group, by the way that workers take.
pub(crate) async fn bury(bench: &Bench, fields: &Fields, reason: DeadReason) -> (StreamId, StreamId) {
    let id = bench.stream.append(fields.iter()).await.expect("appended");
    bench.deliver_to("a", 1).await;
    let moved = bench.stream.dead_letter(GROUP, "a", id, reason, "no amount", fields).await;
    assert_eq!(moved.expect("it can be dead-lettered"), SettledDead::Moved);
    (id, bench.dead_letters().await.last().expect("a dead letter").id)
}

fn letters(bench: &Bench) -> DeadLetters {
    bench.stream.dead_letters(GROUP)
}

fn simple() -> Fields {
    [("a", "1")].into_iter().collect()
}

fn wide(pairs: usize) -> Fields {
    (0..pairs).map(|n| (format!("f{n}"), format!("v{n}"))).collect()
}

async fn entries(stream: &EventStream) -> Vec<Entry> {
    stream.range(RangeQuery::default(), 100).await.expect("XRANGE").entries
}

async fn redriven(bench: &Bench) -> Vec<Entry> {
    entries(&bench.stream.redrive(GROUP)).await
}

async fn sent_back(bench: &Bench) -> u64 {
    let length: i64 = bench.cmd(&format!("XLEN {}", bench.stream.key().redrive(GROUP))).await;
    length.unsigned_abs()
}

#[tokio::test]
async fn the_entry_comes_back_byte_for_byte_to_its_group_alone() {
    let bench = Bench::with_group().await;
    let pairs: [(&[u8], &[u8]); 5] =
        [(b"b", b"1"), (b"\xff", b"\0\x80"), (b"b", b"2"), (b"_dl_id", b""), (b"", b"")];
    let fields: Fields = pairs.iter().map(|(a, b)| (a.to_vec(), b.to_vec())).collect();
    let (id, letter) = bury(&bench, &fields, DeadReason::Rejected).await;
    let before = bench.stream.info().await.unwrap();
    let RedriveOutcome::Sent(sent) = letters(&bench).redrive(letter).await.unwrap() else {
        panic!("not sent")
    };
    let back = redriven(&bench).await;
    assert_eq!((back.len(), back[0].id), (1, sent));
    let id = id.to_string();
    let expected: Vec<(&[u8], &[u8])> =
        [(&b"_redrive_of"[..], id.as_bytes()), (b"_redrive_count", b"1")].into_iter().chain(pairs).collect();
    assert_eq!(back[0].fields.iter().collect::<Vec<_>>(), expected);
    assert_eq!(letters(&bench).count().await.unwrap(), 0);
    let groups = bench.stream.redrive(GROUP).groups().await.unwrap();
    let group: Vec<_> = groups.iter().map(|group| (group.name.as_str(), group.last_delivered_id)).collect();
    assert_eq!(group, [(GROUP, StreamId::MIN)], "a group that will read it from the beginning");
    let after = bench.stream.info().await.unwrap();
    assert_eq!(after.entries_added, before.entries_added, "nobody else sees it again");
}

#[tokio::test]
async fn a_second_redrive_does_nothing() {
    let bench = Bench::with_group().await;
    let (_, letter) = bury(&bench, &simple(), DeadReason::Poison).await;
    let (_, wide_letter) = bury(&bench, &wide(4_000), DeadReason::Poison).await;
    for letter in [letter, wide_letter] {
        assert!(matches!(letters(&bench).redrive(letter).await.unwrap(), RedriveOutcome::Sent(_)));
        assert_eq!(letters(&bench).redrive(letter).await.unwrap(), RedriveOutcome::Absent);
    }
    assert_eq!(sent_back(&bench).await, 2);
}

#[tokio::test]
async fn of_two_concurrent_redrives_one_sends() {
    let bench = Bench::with_group().await;
    for round in 0..20 {
        let fields = if round % 5 == 0 { wide(4_000) } else { simple() };
        let (_, letter) = bury(&bench, &fields, DeadReason::Poison).await;
        let other = bench.connector.commands().unwrap();
        let other = EventStream::new(other, bench.stream.key().clone()).dead_letters(GROUP);
        let mine = letters(&bench);
        let (first, second) = tokio::join!(mine.redrive(letter), other.redrive(letter));
        let sent =
            [first.unwrap(), second.unwrap()].map(|redriven| matches!(redriven, RedriveOutcome::Sent(_)));
        assert!(sent == [true, false] || sent == [false, true], "{sent:?}");
    }
    assert_eq!(sent_back(&bench).await, 20);
}

#[tokio::test]
async fn an_entry_too_wide_for_a_script_comes_back_all_the_same() {
    let bench = Bench::with_group().await;
    for pairs in [3_499, 3_500, 3_501, 9_000] {
        let fields = wide(pairs);
        let (id, letter) = bury(&bench, &fields, DeadReason::Poison).await;
        assert!(matches!(letters(&bench).redrive(letter).await.unwrap(), RedriveOutcome::Sent(_)));
        let back = redriven(&bench).await;
        assert_eq!((back.len(), text(&back[0], "_redrive_of")), (1, id.to_string()));
        assert!(back[0].fields.iter().skip(2).eq(fields.iter()), "{pairs} pairs");
        // So that each look at it reads one of them.
        let settled = format!("XDEL {} {}", bench.stream.key().redrive(GROUP), back[0].id);
        bench.cmd::<i64>(&settled).await;
        assert_eq!(letters(&bench).count().await.unwrap(), 0);
    }
}

/// The first field of the original is called as what the story may end with.
#[tokio::test]
async fn a_field_that_looks_like_the_story_is_the_entrys_own() {
    let bench = Bench::with_group().await;
    for fields in [simple(), wide(4_000)] {
        for value in ["7", "text"] {
            let own: Fields = [("_dl_redrives", value)].into_iter().collect();
            let fields: Fields =
                own.iter().chain(fields.iter()).map(|(a, b)| (a.to_vec(), b.to_vec())).collect();
            let (id, letter) = bury(&bench, &fields, DeadReason::Poison).await;
            let told = letters(&bench).get(letter).await.unwrap().unwrap().expect("it can be read");
            assert_eq!((told.entry_id, told.redrives), (id, 0));
            assert!(told.fields == fields, "all of them");
            assert!(matches!(letters(&bench).redrive(letter).await.unwrap(), RedriveOutcome::Sent(_)));
            let back = redriven(&bench).await.pop().unwrap();
            assert_eq!(text(&back, "_redrive_count"), "1");
            assert!(back.fields.iter().skip(2).eq(fields.iter()));
        }
    }
}

#[tokio::test]
async fn how_often_it_was_sent_back_is_counted() {
    let bench = Bench::with_group().await;
    for fields in [simple(), wide(4_000)] {
        let told = [
            ("_dl_id", "5-1"),
            ("_dl_group", GROUP),
            ("_dl_consumer", "a"),
            ("_dl_deliveries", "5"),
            ("_dl_reason", "rejected"),
            ("_dl_error", ""),
            ("_dl_time_ms", "1"),
            ("_dl_redrives", "2"),
        ];
        let told: Fields = told.into_iter().collect();
        let letter = bench.dead_letter_stream().append(told.iter().chain(fields.iter())).await.unwrap();
        assert!(matches!(letters(&bench).redrive(letter).await.unwrap(), RedriveOutcome::Sent(_)));
        let back = redriven(&bench).await.pop().unwrap();
        assert_eq!((text(&back, "_redrive_of"), text(&back, "_redrive_count")), ("5-1".into(), "3".into()));
        assert!(back.fields.iter().skip(2).eq(fields.iter()));
    }
}

#[tokio::test]
async fn what_has_no_payload_or_is_no_dead_letter_stays() {
    let bench = Bench::with_group().await;
    let id = bench.append(1).await[0];
    bench.deliver_to("a", 1).await;
    bench.cmd::<i64>(&format!("XDEL $stream {id}")).await;
    bench.stream.dead_letter(GROUP, "a", id, DeadReason::Poison, "", &Fields::default()).await.unwrap();
    let lost = bench.dead_letters().await[0].id;
    assert_eq!(letters(&bench).redrive(lost).await.unwrap(), RedriveOutcome::PayloadLost);
    for fields in [simple(), wide(4_000)] {
        let foreign = bench.dead_letter_stream().append(fields.iter()).await.unwrap();
        assert_eq!(letters(&bench).redrive(foreign).await.unwrap(), RedriveOutcome::Unreadable);
    }
    assert_eq!(letters(&bench).count().await.unwrap(), 3);
    assert!(redriven(&bench).await.is_empty());
}

/// The redrive fails and leaves the dead letter; once `repaired`, it succeeds.
async fn fails_and_leaves(bench: &Bench, letter: StreamId, kinds: &[ErrorKind], repair: &str) {
    let error: Error = letters(bench).redrive(letter).await.expect_err("it is refused");
    assert!(kinds.contains(&error.kind()), "{error}");
    let still = letters(bench).get(letter).await.expect("it can be read");
    assert!(still.is_some(), "it is still there");
    bench.cmd::<redis::Value>(repair).await;
    let sent = letters(bench).redrive(letter).await.expect("nothing is in the way");
    assert!(matches!(sent, RedriveOutcome::Sent(_)));
    assert_eq!(sent_back(bench).await, 1);
}

#[tokio::test]
async fn a_spoilt_redrive_key_leaves_the_dead_letter() {
    for fields in [simple(), wide(4_000)] {
        let bench = Bench::with_group().await;
        let (_, letter) = bury(&bench, &fields, DeadReason::Poison).await;
        let key = bench.stream.key().redrive(GROUP);
        bench.cmd::<()>(&format!("SET {key} text")).await;
        fails_and_leaves(&bench, letter, &[ErrorKind::WrongType], &format!("DEL {key}")).await;
    }
}

/// An append that fails in the midst of a transaction or a script: the server goes on with what comes after it in the one.
#[tokio::test]
async fn a_redrive_stream_that_takes_no_more_entries_leaves_the_dead_letter() {
    for fields in [simple(), wide(4_000)] {
        let bench = Bench::with_group().await;
        let (_, letter) = bury(&bench, &fields, DeadReason::Poison).await;
        bench.stream.redrive(GROUP).restore_group(GROUP).await.unwrap();
        let key = bench.stream.key().redrive(GROUP);
        bench.cmd::<()>(&format!("XSETID {key} {}", StreamId::MAX)).await;
        fails_and_leaves(&bench, letter, &[ErrorKind::Server], &format!("DEL {key}")).await;
    }
}

#[tokio::test]
async fn a_full_server_leaves_the_dead_letter() {
    for (fields, group_exists) in [(simple(), false), (simple(), true), (wide(4_000), true)] {
        let server = RedisServer::builder().max_memory_bytes(50_000_000).start().await;
        let bench = Bench::on(server).await;
        bench.stream.restore_group(GROUP).await.unwrap();
        let (_, letter) = bury(&bench, &fields, DeadReason::Poison).await;
        if group_exists {
            bench.stream.redrive(GROUP).restore_group(GROUP).await.unwrap();
        }
        bench.cmd::<()>("CONFIG SET maxmemory 1000000").await;
        let repair = "CONFIG SET maxmemory 50000000";
        fails_and_leaves(&bench, letter, &[ErrorKind::OutOfMemory], repair).await;
    }
}

#[tokio::test]
async fn a_connection_cut_during_the_redrive_leaves_it_in_one_place() {
    let bench = Bench::with_group().await;
    for round in 0..10 {
        let fields = if round % 2 == 0 { simple() } else { wide(4_000) };
        let (_, letter) = bury(&bench, &fields, DeadReason::Poison).await;
        // The server holds writes back, so the redrive is under way when its connection goes.
        bench.cmd::<()>("CLIENT PAUSE 10000 WRITE").await;
        let dead = letters(&bench);
        let running = tokio::spawn(async move { dead.redrive(letter).await });
        eventually(SOON, "the redrive is held back", async || {
            let blocked: String = bench.cmd("INFO clients").await;
            let blocked = blocked.lines().any(|line| line == "blocked_clients:1");
            let idle = running.is_finished();
            if blocked && !idle { Ok(()) } else { Err("not yet") }
        })
        .await;
        bench.cmd::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
        let outcome = tokio::time::timeout(SOON, running).await.unwrap().unwrap();
        bench.cmd::<()>("CLIENT UNPAUSE").await;
        let error = outcome.unwrap_err();
        assert!(error.may_have_been_applied(), "{error}");
        let seen = (letters(&bench).count().await.unwrap(), sent_back(&bench).await);
        assert_eq!(seen.0 + seen.1, round + 1, "{seen:?}");
        // Whoever asks again settles it.
        letters(&bench).redrive(letter).await.unwrap();
        assert_eq!((letters(&bench).count().await.unwrap(), sent_back(&bench).await), (0, round + 1));
    }
}

#[tokio::test]
async fn where_an_entry_is_can_be_told() {
    let bench = Bench::with_group().await;
    let (id, letter) = bury(&bench, &simple(), DeadReason::Poison).await;
    let told = letters(&bench).get(letter).await.unwrap().unwrap().unwrap();
    assert_eq!((told.entry_id, told.error.as_str(), &told.fields), (id, "no amount", &simple()));
    assert!(told.died_of(DeadReason::Poison));
    assert!(told.time.elapsed().unwrap() < Duration::from_mins(1));
    let before = letters(&bench).whereabouts(id).await.unwrap();
    assert!(before.in_stream && before.redriven_as.is_empty() && !before.redrives_unknown);
    let RedriveOutcome::Sent(sent) = letters(&bench).redrive(letter).await.unwrap() else {
        panic!("not sent")
    };
    bench.cmd::<i64>(&format!("XDEL $stream {id}")).await;
    let after = letters(&bench).whereabouts(id).await.unwrap();
    assert_eq!((after.in_stream, after.redriven_as), (false, vec![sent]));
    assert_eq!(letters(&bench).get(letter).await.unwrap(), None);
}
