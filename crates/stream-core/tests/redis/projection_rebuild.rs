//! Rebuilding a projection under its workers: exact, whatever dies or is deleted meanwhile.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use stream_core::{
    Delivery, Effects, Projection, RebuildPhase, RebuildRequest, RebuildStatus, Rejection, StartAt,
    WorkerError,
};
use testkit::eventually;

use crate::{
    projection::Counting,
    support::{Bench, GROUP, Running, SOON, quick},
};

impl Bench {
    async fn status(&self) -> RebuildStatus {
        self.stream.rebuild_status(GROUP).await.expect("HGETALL")
    }

    /// Spoils the totals as a bug or a person might.
    async fn corrupt(&self) {
        let key = self.stream.projected(GROUP).await.expect("HGET").key("totals");
        self.cmd::<i64>(&format!("HSET {key} sum 1234567 seen 3")).await;
    }

    async fn request(&self) {
        let request = self.stream.request_rebuild(GROUP, false).await.expect("the script runs");
        assert!(matches!(request, RebuildRequest::Requested(_)));
    }

    /// Waits until the rebuild has got somewhere.
    async fn until(&self, what: &str, reached: impl Fn(&RebuildStatus) -> bool) -> RebuildStatus {
        eventually(SOON, what, async || {
            let status = self.status().await;
            if reached(&status) { Ok(status) } else { Err(format!("{status:?}")) }
        })
        .await
    }

    async fn done(&self) -> RebuildStatus {
        self.until("the rebuild is done", |status| status.phase == RebuildPhase::Done).await
    }

    /// Appends numbers until `until` is over; returns how many there are then, with the first `from` of before.
    async fn produce_during<T>(&self, from: i64, until: impl Future<Output = T>) -> (i64, T) {
        tokio::pin!(until);
        let mut next = from;
        loop {
            tokio::select! {
                outcome = &mut until => return (next, outcome),
                _ = self.numbers(next..next + 50) => next += 50,
            }
        }
    }

    /// Checks that the numbers from 0 on have been counted, each once. What an aborted append did is asked of the stream.
    async fn assert_counted_once(&self) {
        self.settled().await;
        let query = stream_core::RangeQuery::default();
        let entries = self.stream.range(query, 1_000_000).await.expect("XRANGE").entries;
        let numbers = entries.iter().map(|entry| crate::support::text(entry, "n").parse::<i64>().expect("n"));
        let (seen, sum) = numbers.fold((0, 0), |(seen, sum), n| (seen + 1, sum + n));
        let totals = self.totals().await;
        assert_eq!((totals["seen"], totals["sum"], totals["customers"]), (seen, sum, 10));
        assert_eq!(self.status().await.counted, u64::try_from(seen).expect("a count"));
    }
}

/// Takes its time for each entry, so that a rebuild can be caught in the middle.
struct Slow;

impl Projection for Slow {
    fn project(&self, delivery: &Delivery, effects: &mut Effects<'_>) -> Result<(), Rejection> {
        if &*delivery.consumer == "rebuild" {
            std::thread::sleep(Duration::from_micros(200));
        }
        Counting.project(delivery, effects)
    }

    fn key_prefixes(&self) -> &[&str] {
        &["totals", "customers", "newest", "top", "orders"]
    }
}

/// A worker with settled entries and spoilt totals.
async fn spoilt(entries: i64, projection: impl Projection) -> (Bench, Running) {
    let bench = Bench::with_group().await;
    let worker = bench.project(quick("c"), projection);
    bench.numbers(0..entries).await;
    bench.settled().await;
    bench.corrupt().await;
    (bench, worker)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_under_load_is_exact() {
    let (bench, worker) = spoilt(3_000, Counting).await;
    let (produced, _) = bench
        .produce_during(3_000, async {
            bench.request().await;
            bench.done().await
        })
        .await;
    assert!(produced > 3_000);
    bench.assert_counted_once().await;
    assert_eq!(bench.stream.projected(GROUP).await.unwrap().generation(), 1);
    // And once more, from the rebuilt one.
    bench.corrupt().await;
    bench.request().await;
    bench.until("the second one is done", |status| status.live == 2).await;
    bench.assert_counted_once().await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_whose_worker_dies_is_finished_by_another() {
    let (bench, first) = spoilt(4_000, Slow).await;
    bench.request().await;
    let caught = bench.until("the replay is under way", |s| s.phase == RebuildPhase::Replay).await;
    first.crash().await;
    assert!(caught.seen < 4_000);
    let second = bench.project(quick("d"), Slow);
    let (_, done) = bench.produce_during(4_000, bench.done()).await;
    assert_eq!(done.replayed, 4_000);
    bench.assert_counted_once().await;
    second.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_rebuild_one_at_a_time_through_a_deleted_group() {
    let (bench, first) = spoilt(3_000, Slow).await;
    let second = bench.project(quick("d"), Slow);
    bench.request().await;
    bench.until("the replay is under way", |status| status.phase == RebuildPhase::Replay).await;
    bench.cmd::<i64>("XGROUP DESTROY $stream g").await;
    let (_, done) = bench.produce_during(3_000, bench.done()).await;
    assert_eq!(done.rejected, 0);
    bench.assert_counted_once().await;
    assert!(bench.dead_letters().await.is_empty());
    first.drain().await;
    second.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_rebuild_leaves_the_live_projection_and_no_keys() {
    let bench = Bench::with_group().await;
    let worker = bench.project(quick("c"), Slow);
    bench.numbers(0..3_000).await;
    bench.settled().await;
    bench.request().await;
    bench.until("the replay is under way", |status| status.phase == RebuildPhase::Replay).await;
    assert!(bench.stream.abort_rebuild(GROUP).await.unwrap());
    bench.numbers(3_000..3_100).await;
    bench.assert_counted_once().await;
    assert_eq!(bench.status().await.phase, RebuildPhase::Aborted);
    eventually(SOON, "the unfinished generation is gone", async || {
        let keys: Vec<String> = bench.cmd("KEYS *:gen:*").await;
        if keys.is_empty() { Ok(()) } else { Err(format!("{keys:?}")) }
    })
    .await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_generation_that_was_replaced_can_be_read_for_a_while_and_is_deleted_then() {
    let (bench, worker) = spoilt(1_000, Counting).await;
    let reader = bench.stream.projected(GROUP).await.unwrap();
    bench.request().await;
    bench.done().await;
    assert_eq!(reader.hash("totals").await.unwrap().len(), 3, "a query that began before");
    let somebody_elses = bench.key("tot:als");
    bench.cmd::<()>(&format!("SET {somebody_elses} kept")).await;
    // Its time has come.
    bench.cmd::<i64>(&format!("HSET {} drop:0 1", bench.stream.key().projection(GROUP))).await;
    eventually(SOON, "its keys are gone", async || {
        let left: i64 = bench
            .cmd(&format!(
                "EXISTS {} {} {}",
                bench.key("totals"),
                bench.key("customers"),
                bench.key("orders")
            ))
            .await;
        (left == 0).then_some(())
    })
    .await;
    assert_eq!(bench.cmd::<i64>(&format!("EXISTS {somebody_elses}")).await, 1);
    bench.assert_thousand_counted_once().await;
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trimmed_history_is_refused_unless_the_loss_is_accepted() {
    let (bench, worker) = spoilt(1_000, Counting).await;
    bench.cmd::<i64>("XTRIM $stream MAXLEN = 900").await;
    let first = bench.stream.info().await.unwrap().first_entry.unwrap().id;
    bench.request().await;
    let refused = bench.until("it is refused", |status| status.phase == RebuildPhase::Refused).await;
    assert_eq!((refused.lost, refused.oldest, refused.live), (100, Some(first), 0));
    assert_eq!(bench.totals().await["sum"], 1_234_567, "untouched");

    bench.stream.request_rebuild(GROUP, true).await.unwrap();
    bench.done().await;
    let totals = bench.totals().await;
    assert_eq!((totals["seen"], totals["sum"]), (900, (100..1_000).sum()));
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_stream_is_a_loss_although_it_has_forgotten_it() {
    let (bench, worker) = spoilt(500, Counting).await;
    bench.stream.delete_stream().await.unwrap();
    bench.numbers(500..600).await;
    bench.settled().await;
    bench.request().await;
    let refused = bench.until("it is refused", |status| status.phase == RebuildPhase::Refused).await;
    assert_eq!(refused.lost, 500);
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_request_joins_the_first() {
    let bench = Bench::with_group().await;
    let first = bench.stream.request_rebuild(GROUP, false).await.unwrap();
    let second = bench.stream.request_rebuild(GROUP, true).await.unwrap();
    assert_eq!((first, second), (RebuildRequest::Requested(1), RebuildRequest::UnderWay(1)));
    assert!(!bench.status().await.accept_loss);
}

/// Does not understand every hundredth number until it has been mended.
struct Moody(Arc<AtomicBool>);

impl Projection for Moody {
    fn project(&self, delivery: &Delivery, effects: &mut Effects<'_>) -> Result<(), Rejection> {
        let n: i64 =
            delivery.fields.get("n").and_then(|n| std::str::from_utf8(n).ok()?.parse().ok()).unwrap_or(0);
        if n % 100 == 0 && !self.0.load(Ordering::SeqCst) {
            return Err(Rejection { reason: "not understood by this version".to_owned() });
        }
        Slow.project(delivery, effects)
    }

    fn key_prefixes(&self) -> &[&str] {
        &["totals", "customers", "newest", "top", "orders"]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_sent_back_during_a_rebuild_count_once() {
    let mended = Arc::new(AtomicBool::new(false));
    let bench = Bench::with_group().await;
    let worker = bench.project(quick("c"), Moody(Arc::clone(&mended)));
    bench.numbers(0..3_000).await;
    bench.settled().await;
    let letters = bench.dead_letters().await;
    assert_eq!(letters.len(), 30);
    assert_eq!(bench.totals().await["seen"], 2_970);
    mended.store(true, Ordering::SeqCst);
    bench.request().await;
    bench.until("the replay is under way", |status| status.phase == RebuildPhase::Replay).await;
    let redrive = bench.stream.redrive(GROUP);
    redrive.ensure_group(GROUP, StartAt::Beginning).await.unwrap();
    let (dlq, redrive) = (bench.stream.key().dead_letters(GROUP), redrive.key().as_str());
    for letter in letters {
        let (id, n) = (crate::support::text(&letter, "_dl_id"), crate::support::text(&letter, "n"));
        bench.cmd::<String>(&format!("XADD {redrive} * _redrive_of {id} _redrive_count 1 n {n}")).await;
        bench.cmd::<i64>(&format!("XDEL {dlq} {}", letter.id)).await;
    }
    bench.done().await;
    eventually(SOON, "they are counted", async || {
        let left: i64 = bench.cmd(&format!("XLEN {redrive}")).await;
        (left == 0).then_some(())
    })
    .await;
    bench.assert_counted_once().await;
    // In the next rebuild they are history like the others.
    bench.corrupt().await;
    bench.request().await;
    let status = bench.until("the second one is done", |status| status.live == 2).await;
    assert_eq!(status.replayed, 3_000);
    bench.assert_counted_once().await;
    worker.drain().await;
}

/// Says nothing of its keys.
struct Nameless;

impl Projection for Nameless {
    fn project(&self, delivery: &Delivery, effects: &mut Effects<'_>) -> Result<(), Rejection> {
        Counting.project(delivery, effects)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_does_not_name_its_keys_is_not_rebuilt_and_says_why() {
    let (bench, worker) = spoilt(10, Nameless).await;
    bench.request().await;
    let status = bench.until("it is called off", |status| status.phase == RebuildPhase::Aborted).await;
    assert!(status.message.unwrap().contains("key_prefixes"));
    worker.drain().await;
}

/// Does not know its keys.
struct Unnamed;

impl Projection for Unnamed {
    fn project(&self, _: &Delivery, _: &mut Effects<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    fn key_prefixes(&self) -> &[&str] {
        panic!("a bug in the projection")
    }
}

#[tokio::test]
async fn a_rebuild_that_panics_ends_the_worker_that_would_never_rebuild_again() {
    let bench = Bench::with_group().await;
    let worker = bench.project(quick("c"), Unnamed);
    bench.stream.request_rebuild(GROUP, false).await.unwrap();
    let error = worker.end().await.unwrap_err();
    assert!(matches!(error, WorkerError::Panicked), "{error}");
}
