//! Redriven entries: dead letters that come back to their group, and to no other, through a stream of its own.

use std::time::Duration;

use stream_core::{Delivery, Fields, Lease, Outcome, Retired, StartAt, StreamId, Take, WorkerSettings};
use testkit::eventually;

use crate::support::{Bench, GROUP, On, SOON, Seen, quick, retry, text};

const HOUR: Duration = Duration::from_hours(1);

fn original() -> StreamId {
    StreamId::new(5, 1)
}

/// Fields in an order and of a kind that a map would not keep.
fn odd_fields() -> Fields {
    let pairs: [(&[u8], &[u8]); 5] =
        [(b"b", b"1"), (b"\xff", b"\0\x80"), (b"a", b""), (b"b", b"2"), (b"_redrive_of", b"x")];
    pairs.iter().map(|(a, b)| (a.to_vec(), b.to_vec())).collect()
}

#[tokio::test]
async fn a_redriven_entry_comes_to_its_group_as_it_was_and_goes_with_its_ack() {
    let bench = Bench::with_group().await;
    bench.stream.ensure_group("other", StartAt::Beginning).await.unwrap();
    let seen = Seen::default();
    let worker = bench.run(quick("c"), seen.acking());
    let row = bench.send_back(original(), 1, &odd_fields()).await;
    assert_ne!(row, original());
    seen.reaches(1).await;
    bench.redriven().await;
    let delivery = &seen.all()[0];
    assert_eq!((delivery.id, delivery.deliveries, &delivery.fields), (original(), 1, &odd_fields()));
    assert_eq!(bench.cmd::<u64>("XLEN $stream").await, 0, "the other group is not handed it");
    assert!(bench.dead_letters().await.is_empty());
    assert_eq!(worker.metric("worker_deliveries_total", "\"acked\""), 1);
    worker.drain().await;
    assert!(bench.redrive_stream().consumers(GROUP).await.unwrap().is_empty(), "deleted there too");
    assert_eq!(bench.cmd::<Vec<String>>("KEYS *lease*").await, Vec::<String>::new());
}

#[tokio::test]
async fn workers_make_no_redrive_stream_and_take_its_absence_for_no_error() {
    let bench = Bench::start().await;
    let seen = Seen::default();
    let worker = bench.run(quick("c"), seen.acking());
    bench.append(1).await;
    bench.settled().await;
    let polls = async || -> u64 {
        let stats: String = bench.cmd("INFO commandstats").await;
        let line = stats.lines().find(|line| line.starts_with("cmdstat_xreadgroup")).unwrap_or_default();
        line.split("failed_calls=").nth(1).and_then(|n| n.trim().parse().ok()).unwrap_or_default()
    };
    eventually(SOON, "it has looked several times", async || (polls().await > 5).then_some(())).await;
    assert_eq!(worker.metric("worker_redis_errors_total", "\"no_group\""), 0);
    assert_eq!(bench.cmd::<u64>(&format!("EXISTS {}", bench.redrive_stream().key())).await, 0);
    worker.drain().await;
}

#[tokio::test]
async fn a_redriven_entry_that_fails_again_is_a_dead_letter_once_with_its_original_id() {
    for settled in [Outcome::DeadLetter { reason: "no such address".into() }, retry("not now")] {
        let bench = Bench::with_group().await;
        let fail = settled.clone();
        let worker = bench.run(
            quick("c"),
            On(move |_: Delivery| {
                let fail = fail.clone();
                async move { fail }
            }),
        );
        bench.send_back(original(), 3, &odd_fields()).await;
        bench.redriven().await;
        let letters = bench.dead_letters().await;
        assert_eq!(letters.len(), 1);
        let told =
            ["_dl_id", "_dl_group", "_dl_consumer", "_dl_redrives"].map(|name| text(&letters[0], name));
        assert_eq!(told, ["5-1", GROUP, "c", "3"]);
        let names: Vec<_> = letters[0].fields.iter().map(|(name, _)| name.to_vec()).collect();
        assert_eq!((&names[6][..], &names[7][..]), (&b"_dl_time_ms"[..], &b"_dl_redrives"[..]));
        assert!(
            letters[0].fields.iter().skip(8).eq(odd_fields().iter()),
            "byte for byte, without what the redrive added"
        );
        worker.drain().await;
    }
}

#[tokio::test]
async fn a_wide_redriven_entry_is_dead_lettered_and_deleted_as_well() {
    let bench = Bench::with_group().await;
    let fields: Fields = (0..4_000).map(|n| (format!("f{n}"), "v")).collect();
    let worker =
        bench.run(quick("c"), On(|_: Delivery| async { Outcome::DeadLetter { reason: "too wide".into() } }));
    bench.send_back(original(), 2, &fields).await;
    bench.redriven().await;
    worker.drain().await;
    // And one that is found exhausted, by a claim.
    let row = bench.send_back(original(), 1, &fields).await;
    let stream = bench.redrive_stream();
    stream.read_now(GROUP, "gone", 1).await.unwrap();
    let spent = format!("XCLAIM {} {GROUP} gone 0 {row} IDLE 3600000 RETRYCOUNT 9 JUSTID", stream.key());
    bench.cmd::<redis::Value>(&spent).await;
    let worker = bench.run(quick("c"), Seen::default().acking());
    bench.redriven().await;
    let letters = bench.dead_letters().await;
    let told: Vec<_> =
        letters.iter().map(|letter| (text(letter, "_dl_id"), text(letter, "_dl_redrives"))).collect();
    assert_eq!(told, [("5-1".into(), "2".into()), ("5-1".into(), "1".into())]);
    assert!(letters.iter().all(|letter| letter.fields.iter().skip(8).eq(fields.iter())));
    worker.drain().await;
}

#[tokio::test]
async fn what_a_crashed_worker_held_of_the_redrive_stream_is_claimed() {
    let bench = Bench::with_group().await;
    let stuck = Seen::default();
    let log = stuck.clone();
    let crashing = bench.run(
        quick("a"),
        On(move |delivery: Delivery| {
            log.note(&delivery);
            std::future::pending::<Outcome>()
        }),
    );
    for n in 1..=8 {
        bench.send_back(StreamId::new(n, 0), 1, &odd_fields()).await;
    }
    stuck.reaches(8).await;
    crashing.crash().await;
    let seen = Seen::default();
    let peer = bench.run(quick("b"), seen.acking());
    bench.redriven().await;
    let mut counts = seen.counts();
    counts.sort();
    assert_eq!(counts, (1..=8).map(|n| (StreamId::new(n, 0), 2)).collect::<Vec<_>>());
    peer.drain().await;
}

#[tokio::test]
async fn a_drain_gives_redriven_entries_back_as_well() {
    let bench = Bench::with_group().await;
    let (seen, row) = (Seen::default(), bench.send_back(original(), 1, &odd_fields()).await);
    let log = seen.clone();
    let settings = WorkerSettings { drain_timeout: Duration::from_millis(300), ..quick("c") };
    let worker = bench.run(
        settings,
        On(move |delivery: Delivery| {
            log.note(&delivery);
            std::future::pending::<Outcome>()
        }),
    );
    seen.reaches(1).await;
    assert_eq!(worker.drain().await.abandoned, 1);
    let rows = bench.redrive_stream().pending(GROUP, &stream_core::PendingFilter::default()).await.unwrap();
    assert_eq!((rows.len(), rows[0].id, rows[0].deliveries), (1, row, 1));
    assert!(rows[0].idle > Duration::from_mins(1), "claimable at once");
}

#[tokio::test]
async fn a_sweep_and_a_retirement_cover_the_redrive_stream() {
    let bench = Bench::with_group().await;
    let stream = bench.redrive_stream();
    let lease = Lease::new(stream.connection().clone(), stream.key().reaper_lease(), "me".to_owned(), HOUR);
    assert_eq!(lease.take(None).await.unwrap(), Take::Taken);
    let spent = bench.send_back(StreamId::new(1, 0), 2, &odd_fields()).await;
    let left = bench.send_back(StreamId::new(2, 0), 1, &odd_fields()).await;
    assert_eq!(stream.read_now(GROUP, "dead", 10).await.unwrap().len(), 2);
    for (row, count) in [(spent, 5), (left, 1)] {
        let claim =
            format!("XCLAIM {} {GROUP} dead 0 {row} IDLE 3600000 RETRYCOUNT {count} JUSTID", stream.key());
        bench.cmd::<redis::Value>(&claim).await;
    }
    let swept = stream.sweep(GROUP, "me", Duration::from_mins(1), None, 10, 5).await.unwrap().unwrap();
    assert_eq!((swept.dead, swept.lost), (vec![spent], vec![]));
    let letters = bench.dead_letters().await;
    assert_eq!((text(&letters[0], "_dl_id"), text(&letters[0], "_dl_redrives")), ("1-0".into(), "2".into()));
    assert_eq!(bench.cmd::<u64>(&format!("XLEN {}", stream.key())).await, 1, "deleted with its ack");

    bench.cmd::<i64>(&format!("HSET {} {GROUP}/dead x", stream.key().workers())).await;
    bench.cmd::<()>(&format!("SET {} somebody", stream.key().consumer_lease(GROUP, "b"))).await;
    let retired = stream.retire_consumer(GROUP, "me", "dead", Some("b"), 10).await.unwrap();
    assert_eq!(retired, Retired::Page { moved: 1, deleted: true, lost: vec![] });
    let registered = bench.stream.registered_consumers().await.unwrap();
    assert_eq!(registered.len(), 1, "it is known until it has left the stream itself");
    bench.stream.retire_consumer(GROUP, "me", "dead", Some("b"), 10).await.unwrap();
    assert!(bench.stream.registered_consumers().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_redrive_group_that_was_destroyed_is_recreated_for_what_waits_there() {
    let bench = Bench::with_group().await;
    let seen = Seen::default();
    let worker = bench.run(quick("c"), seen.acking());
    let id = bench.append(1).await[0];
    seen.reaches(1).await;
    let redrive = bench.redrive_stream();
    bench.send_back(id, 1, &[("n", "0")].into_iter().collect()).await;
    bench.redriven().await;
    let destroyed: i64 = bench.cmd(&format!("XGROUP DESTROY {} {GROUP}", redrive.key())).await;
    assert_eq!(destroyed, 1);
    bench.cmd::<String>(&format!("XADD {} * _redrive_of {id} _redrive_count 2 n 0", redrive.key())).await;
    seen.reaches(3).await;
    bench.redriven().await;
    assert_eq!(seen.ids(), [id; 3]);
    assert!(worker.metric("worker_group_restores_total", "") >= 1);
    worker.drain().await;
}
