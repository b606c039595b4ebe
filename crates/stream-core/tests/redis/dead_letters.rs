//! Settling in flight: dead letters byte for byte, lease renewal, release.

use std::time::Duration;

use stream_core::{DeadReason, Entry, ErrorKind, Fields, Renewed, SettledDead, StreamId};

use crate::support::{Bench, GROUP, text};

const STORY: [&str; 7] =
    ["_dl_id", "_dl_group", "_dl_consumer", "_dl_deliveries", "_dl_reason", "_dl_error", "_dl_time_ms"];

async fn bury(bench: &Bench, consumer: &str, entry: &Entry) -> Result<SettledDead, stream_core::Error> {
    let reason = DeadReason::Poison;
    bench.stream.dead_letter(GROUP, consumer, entry.id, reason, "no amount", &entry.fields).await
}

fn names(letter: &Entry) -> Vec<String> {
    letter.fields.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
}

/// Appends one entry and delivers it to `a`.
async fn delivered(bench: &Bench, fields: &Fields) -> Entry {
    let id = bench.stream.append(fields.iter()).await.expect("appended");
    bench.deliver_to("a", 1).await;
    Entry { id, fields: fields.clone() }
}

#[tokio::test]
async fn a_dead_letter_tells_its_story_and_then_the_original() {
    let bench = Bench::with_group().await;
    let pairs: [(&[u8], &[u8]); 4] = [(b"b", b"1"), (b"\xff", b"\0\x80"), (b"b", b"2"), (b"_dl_id", b"")];
    let fields: Fields = pairs.iter().map(|(a, b)| (a.to_vec(), b.to_vec())).collect();
    let entry = delivered(&bench, &fields).await;
    bench.set_row("a", entry.id, 4, Duration::ZERO).await;
    assert_eq!(bury(&bench, "a", &entry).await.unwrap(), SettledDead::Moved);
    assert!(bench.rows().await.is_empty(), "acked");
    let letter = &bench.dead_letters().await[0];
    assert_eq!(letter.fields.iter().skip(7).collect::<Vec<_>>(), pairs);
    assert_eq!(names(letter)[..7], STORY);
    let story = ["_dl_id", "_dl_group", "_dl_consumer", "_dl_deliveries", "_dl_reason", "_dl_error"];
    let told = story.map(|field| text(letter, field));
    assert_eq!(told, [&entry.id.to_string(), GROUP, "a", "4", "poison", "no amount"]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let told_ms: u128 = text(letter, "_dl_time_ms").parse().unwrap();
    assert!(now.abs_diff(told_ms) < 10_000);
}

#[tokio::test]
async fn only_the_owner_of_a_pending_entry_dead_letters_it() {
    let bench = Bench::with_group().await;
    let entry = delivered(&bench, &[("a", "1")].into_iter().collect()).await;
    bench.set_row("b", entry.id, 1, Duration::ZERO).await;
    assert_eq!(bury(&bench, "a", &entry).await.unwrap(), SettledDead::NotOwner);
    assert_eq!(bench.owners().await, [(entry.id, "b".into(), 1)]);
    bench.stream.ack(GROUP, &[entry.id]).await.unwrap();
    assert_eq!(bury(&bench, "b", &entry).await.unwrap(), SettledDead::NotPending);
    assert!(bench.dead_letters().await.is_empty());
    bench.cmd::<i64>(&format!("XGROUP DESTROY $stream {GROUP}")).await;
    assert_eq!(bury(&bench, "b", &entry).await.unwrap_err().kind(), ErrorKind::NoGroup);
}

#[tokio::test]
async fn an_entry_that_was_deleted_is_recorded_as_lost_unless_its_owner_holds_it() {
    let bench = Bench::with_group().await;
    let held = delivered(&bench, &[("a", "1")].into_iter().collect()).await;
    let lost = delivered(&bench, &[("a", "2")].into_iter().collect()).await;
    bench.cmd::<i64>(&format!("XDEL $stream {} {}", held.id, lost.id)).await;
    let lost = Entry { fields: Fields::default(), ..lost };
    for entry in [&held, &lost] {
        assert_eq!(bury(&bench, "a", entry).await.unwrap(), SettledDead::Moved);
    }
    let expected = [(held.id.to_string(), "poison".into()), (lost.id.to_string(), "payload_lost".into())];
    assert_eq!(bench.dead().await, expected);
    let payloads = bench.dead_letters().await.into_iter().map(|letter| letter.fields.len() - 7);
    assert_eq!(payloads.collect::<Vec<_>>(), [1, 0]);
    assert!(bench.rows().await.is_empty());
}

#[tokio::test]
async fn an_entry_too_wide_for_a_script_is_moved_all_the_same() {
    let bench = Bench::with_group().await;
    for pairs in [3_500, 3_501, 9_000] {
        let fields: Fields = (0..pairs).map(|n| (format!("f{n}"), format!("v{n}"))).collect();
        let entry = delivered(&bench, &fields).await;
        bench.set_row("a", entry.id, 3, Duration::ZERO).await;
        assert_eq!(bury(&bench, "a", &entry).await.unwrap(), SettledDead::Moved);
        let letter = bench.dead_letters().await.pop().unwrap();
        assert!(letter.fields.iter().skip(7).eq(fields.iter()), "{pairs} pairs");
        assert_eq!(names(&letter)[..7], STORY);
        assert_eq!(text(&letter, "_dl_deliveries"), "3");
        assert!(bench.rows().await.is_empty());
    }
}

#[tokio::test]
async fn nothing_is_acked_while_the_dead_letters_cannot_be_written() {
    let bench = Bench::with_group().await;
    bench.cmd::<()>(&format!("SET {} text", bench.stream.key().dead_letters(GROUP))).await;
    for pairs in [1, 4_000] {
        let fields: Fields = (0..pairs).map(|n| (format!("f{n}"), "")).collect();
        let entry = delivered(&bench, &fields).await;
        assert_eq!(bury(&bench, "a", &entry).await.unwrap_err().kind(), ErrorKind::WrongType);
    }
    assert_eq!(bench.rows().await.len(), 2);
    let ids: Vec<StreamId> = bench.rows().await.iter().map(|row| row.id).collect();
    // Leases are renewed all the same.
    assert_eq!(bench.stream.renew(GROUP, "a", &ids, &[]).await.unwrap().renewed, 2);
}

#[tokio::test]
async fn nothing_is_acked_while_the_dead_letters_take_no_more_entries() {
    let bench = Bench::with_group().await;
    let dead = bench.stream.key().dead_letters(GROUP);
    for pairs in [1, 4_000] {
        let fields: Fields = (0..pairs).map(|n| (format!("f{n}"), "")).collect();
        let entry = delivered(&bench, &fields).await;
        bench.dead_letter_stream().append([("foreign", "1")]).await.unwrap();
        bench.cmd::<()>(&format!("XSETID {dead} {}", StreamId::MAX)).await;
        assert_eq!(bury(&bench, "a", &entry).await.unwrap_err().kind(), ErrorKind::Server);
        assert_eq!(bench.rows().await.len(), 1, "{pairs} pairs");
        bench.cmd::<i64>(&format!("DEL {dead}")).await;
        assert_eq!(bury(&bench, "a", &entry).await.unwrap(), SettledDead::Moved);
        assert_eq!(bench.dead().await, [(entry.id.to_string(), "poison".into())]);
        assert!(bench.rows().await.is_empty());
        bench.cmd::<i64>(&format!("DEL {dead}")).await;
    }
}

#[tokio::test]
async fn a_long_error_is_cut_at_a_character() {
    let bench = Bench::with_group().await;
    let entry = delivered(&bench, &[("a", "1")].into_iter().collect()).await;
    let message = "é".repeat(5_000);
    let reason = DeadReason::Rejected;
    bench.stream.dead_letter(GROUP, "a", entry.id, reason, &message, &entry.fields).await.unwrap();
    assert_eq!(text(&bench.dead_letters().await[0], "_dl_error"), "é".repeat(500));
}

#[tokio::test]
async fn a_renewal_touches_only_rows_that_are_still_ours() {
    let bench = Bench::with_group().await;
    let ids = bench.append(5).await;
    bench.deliver_to("a", 5).await;
    let hour = Duration::from_hours(1);
    for id in &ids {
        bench.set_row("a", *id, 2, hour).await;
    }
    bench.set_row("b", ids[1], 2, hour).await;
    bench.stream.ack(GROUP, &[ids[2]]).await.unwrap();
    bench.cmd::<i64>(&format!("XDEL $stream {}", ids[3])).await;
    let renewed = bench.stream.renew(GROUP, "a", &ids[..4], &[]).await.unwrap();
    let away = vec![ids[1], ids[2]];
    assert_eq!(renewed, Renewed { renewed: 1, gone: vec![ids[3]], away, ..Renewed::default() });
    let rows: Vec<_> = bench.rows().await;
    let fresh: Vec<_> = rows.iter().map(|row| (row.id, row.idle < hour, row.consumer.as_str())).collect();
    let gone = (ids[3], false, "a");
    assert_eq!(fresh, [(ids[0], true, "a"), (ids[1], false, "b"), gone, (ids[4], false, "a")]);
    assert!(rows.iter().all(|row| row.deliveries == 2));
    assert_eq!(bench.dead().await, [], "its owner may still settle it");
    assert_eq!(bench.stream.ack(GROUP, &[ids[3]]).await.unwrap(), 1);
    assert_eq!(bench.stream.renew(GROUP, "a", &[], &[]).await.unwrap(), Renewed::default());
}

#[tokio::test]
async fn a_renewal_may_be_longer_than_a_script_can_unpack() {
    let bench = Bench::with_group().await;
    let mut ids = Vec::new();
    for _ in 0..18 {
        ids.extend(bench.append(500).await);
    }
    bench.deliver_to("a", 9_000).await;
    assert_eq!(bench.stream.renew(GROUP, "a", &ids, &[]).await.unwrap().renewed, 9_000);
}

#[tokio::test]
async fn released_entries_are_claimable_at_once_and_the_unstarted_uncounted() {
    let bench = Bench::with_group().await;
    let ids = bench.append(6).await;
    bench.deliver_to("a", 6).await;
    bench.set_row("a", ids[1], 3, Duration::ZERO).await;
    bench.set_row("b", ids[3], 1, Duration::ZERO).await;
    bench.stream.ack(GROUP, &[ids[4]]).await.unwrap();
    bench.cmd::<i64>(&format!("XDEL $stream {}", ids[5])).await;
    let released = bench.stream.release(GROUP, "a", &ids[..2], &ids[2..]).await.unwrap();
    assert_eq!(released, 3);
    let minute = Duration::from_mins(1);
    let rows = bench.rows().await;
    let seen: Vec<_> = rows.iter().map(|row| (row.id, row.deliveries, row.idle > minute)).collect();
    assert_eq!(seen, [(ids[0], 0, true), (ids[1], 2, true), (ids[2], 1, true), (ids[3], 1, false)]);
    assert_eq!(bench.dead().await, [(ids[5].to_string(), "payload_lost".into())], "dropped, not silently");
    assert_eq!(bench.stream.claim(GROUP, "c", minute, &ids).await.unwrap().len(), 3);
    assert_eq!(bench.owners().await[0].2, 1);
    assert_eq!(bench.stream.release(GROUP, "a", &[], &[]).await.unwrap(), 0);
}
