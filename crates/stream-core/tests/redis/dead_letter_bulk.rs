//! Sending back and purging many dead letters: filters, rate, dry run, cancellation, and an end in any case.

use std::{num::NonZeroU32, time::Duration};

use stream_core::{
    Bulk, BulkEnd, BulkTotals, DeadLetterFilter, DeadLetters, DeadReason, ErrorKind, RangeQuery, StreamId,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    dead_letter_pages::{fill, story},
    support::{Bench, GROUP},
};

fn letters(bench: &Bench) -> DeadLetters {
    bench.stream.dead_letters(GROUP)
}

async fn sent_back(bench: &Bench) -> u64 {
    let len: i64 = bench.cmd(&format!("XLEN {}", bench.stream.key().redrive(GROUP))).await;
    len.unsigned_abs()
}

fn rejected() -> DeadLetterFilter {
    DeadLetterFilter { reason: Some(DeadReason::Rejected), ..DeadLetterFilter::default() }
}

async fn redrive_all(bench: &Bench, bulk: &Bulk) -> (BulkTotals, BulkEnd) {
    letters(bench).redrive_all(bulk, &CancellationToken::new(), |_| ()).await.expect("it runs")
}

async fn purge_all(bench: &Bench, bulk: &Bulk) -> (BulkTotals, BulkEnd) {
    letters(bench).purge_all(bulk, &CancellationToken::new(), |_| ()).await.expect("it runs")
}

#[tokio::test]
async fn all_go_back_with_progress_and_what_cannot_stays() {
    let bench = Bench::start().await;
    fill(&bench, 1_200).await;
    let dead = bench.dead_letter_stream();
    dead.append(story(StreamId::new(9, 9), DeadReason::PayloadLost, &[]).iter()).await.unwrap();
    dead.append([("foreign", "1")]).await.unwrap();
    let mut seen = Vec::new();
    let never = CancellationToken::new();
    let progress = |totals: &BulkTotals| seen.push(*totals);
    let (totals, end) = letters(&bench).redrive_all(&Bulk::default(), &never, progress).await.unwrap();
    let expected =
        BulkTotals { scanned: 1_202, matched: 1_202, done: 1_200, payload_lost: 1, unreadable: 1, absent: 0 };
    assert_eq!((totals, end), (expected, BulkEnd::Finished));
    assert_eq!(seen.last(), Some(&totals));
    assert!(seen.len() >= 1_200 && seen.is_sorted_by_key(|totals| totals.done));
    assert_eq!((sent_back(&bench).await, letters(&bench).count().await.unwrap()), (1_200, 2));
}

#[tokio::test]
async fn a_filter_and_a_range_send_back_only_what_fits() {
    let bench = Bench::start().await;
    let ids = fill(&bench, 300).await;
    let range = RangeQuery { start: ids[100], ..RangeQuery::default() };
    let bulk = Bulk { filter: rejected(), range, ..Bulk::default() };
    let (totals, end) = redrive_all(&bench, &bulk).await;
    assert_eq!((totals.scanned, totals.matched, totals.done, end), (200, 20, 20, BulkEnd::Finished));
    assert_eq!((sent_back(&bench).await, letters(&bench).count().await.unwrap()), (20, 280));
}

#[tokio::test]
async fn a_dry_run_counts_and_does_nothing() {
    let bench = Bench::start().await;
    fill(&bench, 300).await;
    let bulk = Bulk { filter: rejected(), dry_run: true, ..Bulk::default() };
    let (redriven, _) = redrive_all(&bench, &bulk).await;
    let (purged, _) = purge_all(&bench, &bulk).await;
    assert_eq!((redriven.done, purged.done), (30, 30));
    assert_eq!((sent_back(&bench).await, letters(&bench).count().await.unwrap()), (0, 300));
}

#[tokio::test]
async fn the_rate_is_kept() {
    let bench = Bench::start().await;
    fill(&bench, 40).await;
    let bulk = Bulk { rate: NonZeroU32::new(50), ..Bulk::default() };
    let (started, mut at_twenty) = (Instant::now(), Duration::ZERO);
    let progress = |totals: &BulkTotals| {
        if totals.done == 20 {
            at_twenty = started.elapsed();
        }
    };
    let never = CancellationToken::new();
    let (totals, _) = letters(&bench).redrive_all(&bulk, &never, progress).await.unwrap();
    assert_eq!(totals.done, 40);
    // 20 ms each, but for what may be made up for at once (100 ms, five of them).
    assert!(at_twenty >= Duration::from_millis(280), "{at_twenty:?}");
    assert!(started.elapsed() >= Duration::from_millis(680), "{:?}", started.elapsed());
}

#[tokio::test]
async fn what_dies_again_meanwhile_is_not_sent_back_twice() {
    let bench = Bench::start().await;
    fill(&bench, 250).await;
    let redrive = bench.stream.redrive(GROUP);
    let dead = bench.dead_letter_stream();
    // Everything that is sent back dies at once.
    let dies_again = async {
        let mut died = 0;
        let mut after = RangeQuery::default();
        while died < 250 {
            let page = redrive.range(after, 100).await.expect("XRANGE");
            for entry in &page.entries {
                let original = [("again", entry.id.to_string())];
                let letter = story(StreamId::new(1, 1), DeadReason::Poison, &original);
                dead.append(letter.iter()).await.expect("stored");
                died += 1;
                after.start = entry.id.next().expect("an ID above it");
            }
            tokio::task::yield_now().await;
        }
    };
    let bulk = Bulk::default();
    let ((totals, end), ()) = tokio::join!(redrive_all(&bench, &bulk), dies_again);
    assert_eq!((totals.done, end), (250, BulkEnd::Finished));
    assert_eq!((sent_back(&bench).await, letters(&bench).count().await.unwrap()), (250, 250));
}

#[tokio::test]
async fn a_cancelled_run_stops_at_once_and_says_how_far_it_came() {
    let bench = Bench::start().await;
    fill(&bench, 300).await;
    let cancel = CancellationToken::new();
    let progress = |totals: &BulkTotals| {
        if totals.done == 7 {
            cancel.cancel();
        }
    };
    // At one an hour it would not stop in the time of the test if it finished its wait.
    let bulk = Bulk::default();
    let (totals, end) = letters(&bench).redrive_all(&bulk, &cancel, progress).await.unwrap();
    assert_eq!((totals.done, end), (7, BulkEnd::Cancelled));
    assert_eq!((sent_back(&bench).await, letters(&bench).count().await.unwrap()), (7, 293));
    let (again, end) = redrive_all(&bench, &bulk).await;
    assert_eq!((again.done, end), (293, BulkEnd::Finished), "a new run goes on");
}

#[tokio::test]
async fn a_wait_for_the_rate_can_be_cancelled() {
    let bench = Bench::start().await;
    fill(&bench, 300).await;
    let cancel = CancellationToken::new();
    let bulk = Bulk { rate: NonZeroU32::new(1), ..Bulk::default() };
    let dead = letters(&bench);
    let progress = |_: &BulkTotals| ();
    let started = Instant::now();
    let stop = async {
        testkit::eventually(crate::support::SOON, "the first went", async || {
            (sent_back(&bench).await >= 1).then_some(())
        })
        .await;
        cancel.cancel();
    };
    let (ended, ()) = tokio::join!(dead.redrive_all(&bulk, &cancel, progress), stop);
    let (totals, end) = ended.unwrap();
    assert_eq!(end, BulkEnd::Cancelled);
    assert!(totals.done <= 2 + started.elapsed().as_secs(), "{totals:?}");
}

#[tokio::test]
async fn a_dry_run_sends_nothing_and_waits_for_no_rate() {
    let bench = Bench::start().await;
    fill(&bench, 300).await;
    let bulk = Bulk { rate: NonZeroU32::new(1), dry_run: true, ..Bulk::default() };
    let runs = async { [redrive_all(&bench, &bulk).await.0.done, purge_all(&bench, &bulk).await.0.done] };
    let done = tokio::time::timeout(crate::support::SOON, runs).await.expect("no wait of minutes");
    assert_eq!((done, letters(&bench).count().await.unwrap()), ([300, 300], 300));
}

#[tokio::test]
async fn an_error_stops_the_run_and_the_progress_told_how_far_it_came() {
    let bench = Bench::start().await;
    fill(&bench, 300).await;
    let key = bench.stream.key().redrive(GROUP);
    bench.cmd::<()>(&format!("SET {key} text")).await;
    let mut last = BulkTotals::default();
    let never = CancellationToken::new();
    let progress = |totals: &BulkTotals| last = *totals;
    let error = letters(&bench).redrive_all(&Bulk::default(), &never, progress).await.unwrap_err();
    assert_eq!((error.kind(), last.done), (ErrorKind::WrongType, 0));
    assert_eq!(letters(&bench).count().await.unwrap(), 300);
}

#[tokio::test]
async fn a_purge_deletes_what_fits_and_the_unreadable_only_without_a_filter() {
    let bench = Bench::start().await;
    let ids = fill(&bench, 300).await;
    bench.dead_letter_stream().append([("foreign", "1")]).await.unwrap();
    let (totals, _) = purge_all(&bench, &Bulk { filter: rejected(), ..Bulk::default() }).await;
    assert_eq!((totals.done, letters(&bench).count().await.unwrap()), (30, 271));
    // Everything that died up to then.
    let range = RangeQuery { end: ids[99], ..RangeQuery::default() };
    let (totals, _) = purge_all(&bench, &Bulk { range, ..Bulk::default() }).await;
    assert_eq!((totals.done, letters(&bench).count().await.unwrap()), (90, 181));
    assert_eq!(letters(&bench).purge(&[ids[100], ids[100], ids[0]]).await.unwrap(), 1);
    assert_eq!(letters(&bench).purge(&[]).await.unwrap(), 0);
    let (totals, end) = purge_all(&bench, &Bulk::default()).await;
    assert_eq!((totals.done, end, letters(&bench).count().await.unwrap()), (180, BulkEnd::Finished, 0));
    let (totals, end) = purge_all(&bench, &Bulk::default()).await;
    assert_eq!((totals, end), (BulkTotals::default(), BulkEnd::Finished));
}
