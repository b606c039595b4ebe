//! Deliveries that are postponed: they wait like retries and are not counted, whatever happens meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use stream_core::{Delivery, DrainReport, Handler, Outcome, StreamId, WorkerSettings};
use testkit::eventually;

use crate::support::{Bench, On, Running, SOON, Seen, quick, retry};

const HOUR: Duration = Duration::from_hours(1);

fn postponed(after: Duration) -> Outcome {
    Outcome::Postpone { reason: "the receiver is down".to_owned(), after }
}

/// Does as `outcome` says of the how manieth delivery it is, from 1.
fn counting(seen: &Seen, outcome: impl Fn(usize) -> Outcome + Send + Sync + 'static) -> impl Handler {
    let (seen, handled) = (seen.clone(), Arc::new(AtomicUsize::new(0)));
    let outcome = Arc::new(outcome);
    On(move |delivery: Delivery| {
        seen.note(&delivery);
        let outcome = outcome(handled.fetch_add(1, Ordering::SeqCst) + 1);
        async { outcome }
    })
}

async fn parks(worker: &Running, count: u64) {
    eventually(SOON, "so many wait", async || {
        let parked = worker.metric("worker_parked", "");
        if parked == count { Ok(()) } else { Err(parked.to_string()) }
    })
    .await;
}

fn counts(seen: &Seen) -> Vec<u64> {
    seen.all().iter().map(|delivery| delivery.deliveries).collect()
}

#[tokio::test]
async fn however_often_it_does_not_count() {
    let bench = Bench::start().await;
    bench.append(1).await;
    let seen = Seen::default();
    let handler =
        counting(&seen, |nth| if nth < 20 { postponed(Duration::from_millis(10)) } else { Outcome::Ack });
    let worker = bench.run(quick("c"), handler);
    bench.settled().await;
    assert_eq!(counts(&seen), [1; 20]);
    assert!(bench.dead_letters().await.is_empty());
    assert_eq!(worker.metric("worker_deliveries_total", "\"postponed\""), 19);
    assert_eq!(worker.metric("worker_deliveries_total", "\"retried\""), 0);
    worker.drain().await;
}

/// Four failures, then an outage, then the fifth attempt: it is still the fifth.
#[tokio::test]
async fn the_attempts_before_and_after_count_as_ever() {
    let bench = Bench::start().await;
    let id = bench.append(1).await[0];
    let seen = Seen::default();
    let handler = counting(&seen, |nth| match nth {
        1..=4 => retry("not now"),
        5..=14 => postponed(Duration::from_millis(10)),
        _ => retry("not ever"),
    });
    let worker = bench.run(quick("c"), handler);
    bench.settled().await;
    assert_eq!(counts(&seen), [[1, 2, 3, 4].as_slice(), &[5; 11]].concat());
    assert_eq!(bench.dead().await, [(id.to_string(), "max_deliveries".to_owned())]);
    worker.drain().await;
}

/// The last attempt of an entry is not used up by a process that ends while it waits.
#[tokio::test]
async fn a_crash_while_it_waits_costs_no_attempt() {
    let bench = Bench::start().await;
    bench.append(1).await;
    let seen = Seen::default();
    let handler = counting(&seen, |nth| if nth < 5 { retry("not now") } else { postponed(HOUR) });
    let worker = bench.run(quick("a"), handler);
    parks(&worker, 1).await;
    eventually(SOON, "its delivery is taken back", async || {
        let rows = bench.owners().await;
        if rows.iter().all(|(_, _, count)| *count == 4) && seen.all().len() == 5 {
            Ok(())
        } else {
            Err(format!("{rows:?}"))
        }
    })
    .await;
    worker.crash().await;
    let after = Seen::default();
    let peer = bench.run(quick("b"), after.acking());
    bench.settled().await;
    assert_eq!(counts(&after), [5]);
    assert!(bench.dead_letters().await.is_empty());
    peer.drain().await;
}

#[tokio::test]
async fn a_drain_gives_it_back_uncounted() {
    let bench = Bench::with_group().await;
    let ids = bench.append(10).await;
    let seen = Seen::default();
    let worker = bench.run(quick("a"), counting(&seen, |_| postponed(HOUR)));
    parks(&worker, 10).await;
    let report = worker.drain().await;
    assert_eq!(report, DrainReport { waiting: 10, ..DrainReport::default() });
    assert!(bench.rows().await.iter().all(|row| row.deliveries == 0 && row.idle > Duration::from_mins(1)));
    let after = Seen::default();
    let peer = bench.run(quick("b"), after.acking());
    bench.settled().await;
    let mut counts = after.counts();
    counts.sort();
    assert_eq!(counts, ids.iter().map(|id| (*id, 1)).collect::<Vec<(StreamId, u64)>>());
    peer.drain().await;
}

/// Suspects, whose deliveries ended nobody knows how, wait for their turn each time; that is not counted either.
#[tokio::test]
async fn suspects_that_are_postponed_are_not_given_up() {
    let bench = Bench::with_group().await;
    let ids = bench.append(3).await;
    bench.deliver_to("gone", 3).await;
    for id in &ids {
        bench.set_row("gone", *id, 4, HOUR).await;
    }
    let seen = Seen::default();
    let handler =
        counting(&seen, |nth| if nth <= 15 { postponed(Duration::from_millis(10)) } else { Outcome::Ack });
    let settings = WorkerSettings { claim_interval: Duration::from_millis(20), ..quick("c") };
    let worker = bench.run(settings, handler);
    bench.settled().await;
    assert!(counts(&seen).iter().all(|count| *count == 5), "{:?}", counts(&seen));
    assert!(bench.dead_letters().await.is_empty());
    worker.drain().await;
}
