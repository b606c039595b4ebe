//! Crash recovery: entries of consumers that are gone, leases of handlers that are slow.

use std::{sync::Arc, time::Duration};

use stream_core::{Delivery, Outcome, WorkerSettings};
use testkit::eventually;
use tokio::sync::Semaphore;

use crate::support::{Bench, MIN_IDLE, On, SOON, Seen, quick};

#[tokio::test]
async fn entries_of_a_crashed_consumer_are_claimed_and_handled() {
    let bench = Bench::with_group().await;
    let ids = bench.append(250).await;
    bench.deliver_to("crashed", 250).await;
    let seen = Seen::default();
    let worker = bench.run(quick("c"), seen.acking());
    bench.settled().await;
    let mut counts = seen.counts();
    counts.sort();
    assert_eq!(counts, ids.iter().map(|id| (*id, 2)).collect::<Vec<_>>());
    assert_eq!(worker.metric("worker_claims_total", ""), 250);
    worker.drain().await;
}

#[tokio::test]
async fn own_pending_entries_come_first_on_a_restart_and_need_not_be_idle() {
    let bench = Bench::with_group().await;
    let ids = bench.append(30).await;
    bench.deliver_to("c", 20).await;
    let seen = Seen::default();
    // Nothing is idle for so long: only the takeover of the own entries can bring them back.
    let settings = WorkerSettings { claim_min_idle: Duration::from_mins(10), concurrency: 1, ..quick("c") };
    let worker = bench.run(settings, seen.acking());
    bench.settled().await;
    let expected: Vec<_> =
        ids.iter().enumerate().map(|(at, id)| (*id, if at < 20 { 2 } else { 1 })).collect();
    assert_eq!(seen.counts(), expected);
    worker.drain().await;
}

#[tokio::test]
async fn own_pending_entries_beyond_the_room_in_flight_are_taken_over_too() {
    let bench = Bench::with_group().await;
    let ids = bench.append(450).await;
    bench.deliver_to("c", 450).await;
    let seen = Seen::default();
    let settings = WorkerSettings {
        claim_min_idle: Duration::from_mins(10),
        claim_auto: false,
        max_in_flight: 7,
        ..quick("c")
    };
    let worker = bench.run(settings, seen.acking());
    bench.settled().await;
    let mut counts = seen.counts();
    counts.sort();
    assert_eq!(counts, ids.iter().map(|id| (*id, 2)).collect::<Vec<_>>());
    worker.drain().await;
}

#[tokio::test]
async fn without_automatic_claiming_others_are_left_alone() {
    let bench = Bench::with_group().await;
    let ids = bench.append(2).await;
    bench.deliver_to("other", 1).await;
    bench.set_row("other", ids[0], 1, Duration::from_hours(1)).await;
    let seen = Seen::default();
    let worker = bench.run(WorkerSettings { claim_auto: false, ..quick("c") }, seen.acking());
    seen.reaches(1).await;
    // Ten claim intervals in which nothing must happen.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(bench.owners().await, [(ids[0], "other".into(), 1)]);
    worker.drain().await;
}

#[tokio::test]
async fn a_handler_slower_than_the_claim_idle_time_runs_once() {
    let bench = Bench::with_group().await;
    let ids = bench.append(20).await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let handler = || {
        let (seen, gate) = (seen.clone(), Arc::clone(&gate));
        On(move |delivery: Delivery| {
            seen.note(&delivery);
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Outcome::Ack
            }
        })
    };
    // More are read than run: those that wait must be renewed as well.
    let settings = |name| WorkerSettings { concurrency: 4, read_count: 10, ..quick(name) };
    let workers = [bench.run(settings("a"), handler()), bench.run(settings("b"), handler())];
    eventually(SOON, "everything is delivered", async || {
        (bench.rows().await.len() == ids.len()).then_some(())
    })
    .await;
    // Five times the idle time after which either would claim from the other.
    tokio::time::sleep(MIN_IDLE * 5).await;
    let rows = bench.rows().await;
    assert!(rows.iter().all(|row| row.deliveries == 1 && row.idle < MIN_IDLE), "{rows:?}");
    gate.add_permits(1_000);
    bench.settled().await;
    let mut counts = seen.counts();
    counts.sort();
    assert_eq!(counts, ids.iter().map(|id| (*id, 1)).collect::<Vec<_>>());
    for worker in workers {
        worker.drain().await;
    }
}

#[tokio::test]
async fn what_a_crashed_worker_held_is_finished_by_its_peer() {
    let bench = Bench::with_group().await;
    let ids = bench.append(40).await;
    let stuck = Seen::default();
    let log = stuck.clone();
    let crashing = bench.run(
        quick("a"),
        On(move |delivery: Delivery| {
            log.note(&delivery);
            std::future::pending::<Outcome>()
        }),
    );
    stuck.reaches(40).await;
    let seen = Seen::default();
    let peer = bench.run(quick("b"), seen.acking());
    crashing.crash().await;
    bench.settled().await;
    let mut counts = seen.counts();
    counts.sort();
    assert_eq!(counts, ids.iter().map(|id| (*id, 2)).collect::<Vec<_>>());
    peer.drain().await;
}

#[tokio::test]
async fn a_busy_worker_finds_room_for_what_others_left_behind() {
    let bench = Bench::with_group().await;
    let left_behind = bench.append(1).await[0];
    bench.deliver_to("crashed", 1).await;
    bench.set_row("crashed", left_behind, 1, Duration::from_hours(1)).await;
    for _ in 0..4 {
        bench.append(500).await;
    }
    let seen = Seen::default();
    let log = seen.clone();
    let settings = WorkerSettings { max_in_flight: 8, concurrency: 2, ..quick("c") };
    let worker = bench.run(
        settings,
        On(move |delivery: Delivery| {
            log.note(&delivery);
            async move {
                tokio::time::sleep(Duration::from_millis(2)).await;
                Outcome::Ack
            }
        }),
    );
    eventually(SOON, "the entry left behind is handled", async || {
        seen.ids().contains(&left_behind).then_some(())
    })
    .await;
    assert!(seen.all().len() < 1_000, "not only when all the others were done");
    worker.drain().await;
}

#[tokio::test]
async fn an_idle_worker_claims_although_its_read_may_fill_it() {
    // A read that waits holds room for what it may bring: all of it only if there is just one place.
    for (max_in_flight, block) in [(1, Duration::from_millis(100)), (200, Duration::from_mins(1))] {
        let bench = Bench::with_group().await;
        bench.append(1).await;
        bench.deliver_to("crashed", 1).await;
        let seen = Seen::default();
        let worker = bench.run(WorkerSettings { max_in_flight, block, ..quick("c") }, seen.acking());
        bench.settled().await;
        assert_eq!(seen.all().len(), 1);
        worker.crash().await;
    }
}

#[tokio::test]
async fn what_was_lost_before_it_was_started_is_not_started() {
    let bench = Bench::with_group().await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let (log, permits) = (seen.clone(), Arc::clone(&gate));
    let settings = WorkerSettings { concurrency: 1, claim_auto: false, ..quick("c") };
    let worker = bench.run(
        settings,
        On(move |delivery: Delivery| {
            log.note(&delivery);
            let permits = Arc::clone(&permits);
            async move {
                permits.acquire().await.expect("an open gate").forget();
                Outcome::Ack
            }
        }),
    );
    let ids = bench.append(5).await;
    eventually(SOON, "it has them all", async || (bench.rows().await.len() == 5).then_some(())).await;
    seen.reaches(1).await;
    // As after a stall for longer than the claim idle time.
    for id in &ids[1..4] {
        bench.set_row("somebody", *id, 2, Duration::ZERO).await;
    }
    eventually(SOON, "the loss is noticed", async || {
        (worker.metric("worker_deliveries_total", "\"ownership_lost\"") == 3).then_some(())
    })
    .await;
    gate.add_permits(9);
    eventually(SOON, "the others are settled", async || (bench.rows().await.len() == 3).then_some(())).await;
    assert_eq!(seen.ids(), [ids[0], ids[4]]);
    assert!(bench.owners().await.iter().all(|(_, owner, count)| owner == "somebody" && *count == 2));
    worker.drain().await;
}
