//! Bounds: entries in flight, handlers at once, suspects alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use stream_core::{Delivery, Outcome, WorkerError, WorkerSettings};
use testkit::eventually;
use tokio::sync::Semaphore;

use crate::support::{Bench, On, SOON, Seen, quick};

#[tokio::test]
async fn no_more_are_in_flight_or_running_than_allowed() {
    let bench = Bench::with_group().await;
    for _ in 0..2 {
        bench.append(500).await;
    }
    let gate = Arc::new(Semaphore::new(0));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let settings = WorkerSettings { max_in_flight: 20, concurrency: 6, ..quick("c") };
    let (permits, now, highest) = (Arc::clone(&gate), Arc::clone(&running), Arc::clone(&most));
    let worker = bench.run(
        settings,
        On(move |_: Delivery| {
            let (gate, running, most) = (Arc::clone(&permits), Arc::clone(&now), Arc::clone(&highest));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                running.fetch_sub(1, Ordering::SeqCst);
                Outcome::Ack
            }
        }),
    );
    eventually(SOON, "it is full", async || {
        let pending = bench.rows().await.len();
        if pending >= 15 { Ok(()) } else { Err(pending.to_string()) }
    })
    .await;
    let mut left = 1_000;
    while left > 0 {
        let pending = bench.rows().await.len();
        assert!(pending <= 20, "{pending} in flight");
        gate.add_permits(50);
        left -= 50;
    }
    bench.settled().await;
    assert_eq!(most.load(Ordering::SeqCst), 6);
    worker.drain().await;
}

#[tokio::test]
async fn the_smallest_bounds_work() {
    let bench = Bench::with_group().await;
    bench.append(30).await;
    let seen = Seen::default();
    let settings = WorkerSettings {
        max_in_flight: 0,
        read_count: 0,
        concurrency: 0,
        claim_min_idle: Duration::from_millis(1),
        ..quick("c")
    };
    let worker = bench.run(settings, seen.acking());
    bench.settled().await;
    worker.drain().await;
}

#[tokio::test]
async fn a_worker_needs_a_consumer() {
    let bench = Bench::start().await;
    let settings = WorkerSettings { consumers: vec![], ..quick("c") };
    let registry = prometheus::Registry::new();
    let worker = stream_core::Worker::new(bench.connector, bench.stream, "g", settings, &registry);
    assert!(matches!(worker, Err(WorkerError::NoConsumers)));
}

#[tokio::test]
async fn suspects_run_alone_and_everything_is_handled() {
    let bench = Bench::with_group().await;
    let old = bench.append(30).await;
    bench.deliver_to("crashed", 30).await;
    let hour = Duration::from_hours(1);
    for (at, id) in old.iter().enumerate() {
        bench.set_row("crashed", *id, if at % 3 == 0 { 3 } else { 1 }, hour).await;
    }
    bench.append(200).await;
    let seen = Seen::default();
    let log = seen.clone();
    let running = Arc::new(AtomicUsize::new(0));
    let company = Arc::new(AtomicUsize::new(0));
    let (now, disturbed) = (Arc::clone(&running), Arc::clone(&company));
    let worker = bench.run(
        quick("c"),
        On(move |delivery: Delivery| {
            log.note(&delivery);
            let (running, company) = (Arc::clone(&now), Arc::clone(&disturbed));
            async move {
                running.fetch_add(1, Ordering::SeqCst);
                for _ in 0..5 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    if delivery.deliveries >= 3 {
                        company.fetch_add(running.load(Ordering::SeqCst) - 1, Ordering::SeqCst);
                    }
                }
                running.fetch_sub(1, Ordering::SeqCst);
                Outcome::Ack
            }
        }),
    );
    bench.settled().await;
    assert_eq!(company.load(Ordering::SeqCst), 0);
    let suspects = seen.all().iter().filter(|delivery| delivery.deliveries == 4).count();
    assert_eq!((seen.all().len(), suspects), (230, 10));
    worker.drain().await;
}

#[tokio::test]
async fn an_entry_that_kills_its_process_is_dead_lettered_and_its_neighbours_are_not() {
    let bench = Bench::with_group().await;
    let ids = bench.append(10).await;
    let killer = ids[4];
    let handled = Seen::default();
    // A process that "dies" as soon as the entry is handled; and is started again under its own name.
    for _ in 0..12 {
        let (log, died) = (handled.clone(), Arc::new(Semaphore::new(0)));
        let dying = Arc::clone(&died);
        let settings = WorkerSettings { lease_ttl: Duration::from_millis(300), ..quick("c") };
        let worker = bench.run(
            settings,
            On(move |delivery: Delivery| {
                let (log, dying) = (log.clone(), Arc::clone(&dying));
                async move {
                    if delivery.id == killer {
                        dying.add_permits(1);
                        std::future::pending::<()>().await;
                    }
                    log.note(&delivery);
                    Outcome::Ack
                }
            }),
        );
        tokio::select! {
            _ = died.acquire() => {}
            () = bench.settled() => {
                worker.drain().await;
                break;
            }
        }
        worker.crash().await;
    }
    assert_eq!(bench.dead().await, [(killer.to_string(), "max_deliveries".into())]);
    let mut others = handled.ids();
    others.sort();
    others.dedup();
    assert_eq!(others.len(), 9);
    assert!(handled.counts().iter().all(|(_, deliveries)| *deliveries < 5), "{:?}", handled.counts());
}
