//! Draining: what runs is finished, what was not started is given back as if it had never been read.

use std::{sync::Arc, time::Duration};

use stream_core::{Delivery, DrainReport, Outcome, WorkerSettings};
use testkit::eventually;
use tokio::sync::Semaphore;

use crate::support::{Bench, GROUP, On, Running, SOON, Seen, quick, retry};

/// A worker whose handlers wait for permits of the gate.
fn gated(bench: &Bench, settings: WorkerSettings, seen: &Seen, gate: &Arc<Semaphore>) -> Running {
    let (seen, gate) = (seen.clone(), Arc::clone(gate));
    bench.run(
        settings,
        On(move |delivery: Delivery| {
            seen.note(&delivery);
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.expect("an open gate").forget();
                Outcome::Ack
            }
        }),
    )
}

#[tokio::test]
async fn running_handlers_finish_and_the_rest_is_released_uncounted() {
    let bench = Bench::with_group().await;
    let ids = bench.append(10).await;
    // One was delivered to somebody else before, who is gone: it comes back with the count it had.
    bench.deliver_to("gone", 1).await;
    bench.set_row("gone", ids[0], 1, Duration::from_hours(1)).await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let worker = gated(&bench, WorkerSettings { concurrency: 3, ..quick("c") }, &seen, &gate);
    seen.reaches(3).await;
    eventually(SOON, "all ten are the consumer's", async || {
        bench.owners().await.iter().filter(|(_, owner, _)| owner == "c").count().eq(&10).then_some(())
    })
    .await;
    worker.shutdown.cancel();
    // Nothing more is started while the running ones finish, and only those do.
    gate.add_permits(3);
    let report = worker.end().await.unwrap();
    assert_eq!(report, DrainReport { finished: 3, released: 7, abandoned: 0, waiting: 0 });
    let started = seen.ids();
    assert_eq!(started.len(), 3, "no handler was started by the drain");
    let rows = bench.rows().await;
    for row in &rows {
        let before = u64::from(row.id == ids[0]);
        assert!(!started.contains(&row.id));
        assert_eq!((row.deliveries, row.consumer.as_str()), (before, "c"));
        assert!(row.idle > Duration::from_mins(1), "claimable at once");
    }
    assert_eq!(rows.len(), 7);
    // The consumer stays while it has entries; its name is free all the same.
    let consumers = bench.stream.consumers(GROUP).await.unwrap();
    assert!(consumers.iter().any(|consumer| consumer.name == "c"));
    let lease = bench.stream.key().consumer_lease(GROUP, "c");
    assert_eq!(bench.cmd::<i64>(&format!("EXISTS {lease}")).await, 0);

    let peer = Seen::default();
    let worker = bench.run(quick("d"), peer.acking());
    bench.settled().await;
    assert!(peer.counts().iter().all(|(id, count)| *count == 1 + u64::from(*id == ids[0])));
    assert_eq!(peer.all().len(), 7);
    worker.drain().await;
}

#[tokio::test]
async fn an_idle_worker_leaves_nothing_behind() {
    let bench = Bench::start().await;
    let seen = Seen::default();
    let worker = bench.run(quick("c"), seen.acking());
    bench.append(3).await;
    bench.settled().await;
    assert_eq!(worker.drain().await, DrainReport::default());
    assert!(bench.stream.consumers(GROUP).await.unwrap().is_empty());
    let keys: Vec<String> = bench.cmd("KEYS *").await;
    let key = bench.stream.key();
    let kept = [key.to_string(), key.position(GROUP), key.worker_totals()];
    assert!(keys.iter().all(|key| kept.contains(key)), "{keys:?}");
    // What it did is known after it has gone.
    let totals = bench.stream.group_totals(GROUP).await.unwrap();
    assert_eq!((totals.processed, totals.acked, totals.claimed), (3, 3, 0));
}

#[tokio::test]
async fn handlers_that_overrun_are_abandoned_and_counted() {
    let bench = Bench::with_group().await;
    bench.append(5).await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let settings = WorkerSettings { concurrency: 2, drain_timeout: Duration::from_millis(200), ..quick("c") };
    let worker = gated(&bench, settings, &seen, &gate);
    seen.reaches(2).await;
    eventually(SOON, "all are read", async || (bench.rows().await.len() == 5).then_some(())).await;
    let report = worker.drain().await;
    assert_eq!(report, DrainReport { finished: 0, released: 3, abandoned: 2, waiting: 0 });
    let abandoned = seen.ids();
    let rows = bench.rows().await;
    for row in &rows {
        assert_eq!(row.deliveries, u64::from(abandoned.contains(&row.id)));
        assert!(row.idle > Duration::from_mins(1), "claimable at once");
    }
    assert_eq!(rows.len(), 5);
}

#[tokio::test]
async fn what_the_last_read_brings_is_given_back() {
    let bench = Bench::start().await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let settings = WorkerSettings { block: Duration::from_secs(4), ..quick("c") };
    let worker = gated(&bench, settings, &seen, &gate);
    bench.append(1).await;
    seen.reaches(1).await;
    eventually(SOON, "the next read waits at the server", async || {
        bench.cmd::<String>("CLIENT LIST").await.contains("cmd=xreadgroup").then_some(())
    })
    .await;
    worker.shutdown.cancel();
    // Nothing outside shows that the engine has seen the shutdown; the read waits for another four seconds.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let late = bench.append(1).await;
    gate.add_permits(1);
    let report = worker.end().await.unwrap();
    assert_eq!(report, DrainReport { finished: 1, released: 1, abandoned: 0, waiting: 0 });
    assert_eq!(seen.all().len(), 1);
    assert_eq!(bench.owners().await, [(late[0], "c".into(), 0)]);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_long_read() {
    // With a handler that overruns, and with nothing to wait for.
    for entries in [1, 0] {
        let bench = Bench::start().await;
        let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
        let (block, drain_timeout) = (Duration::from_secs(20), Duration::from_secs(1));
        let worker = gated(&bench, WorkerSettings { block, drain_timeout, ..quick("c") }, &seen, &gate);
        bench.append(entries).await;
        seen.reaches(entries).await;
        eventually(SOON, "the next read waits at the server", async || {
            bench.cmd::<String>("CLIENT LIST").await.contains("cmd=xreadgroup").then_some(())
        })
        .await;
        let started = tokio::time::Instant::now();
        let report = worker.drain().await;
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
        assert_eq!(report, DrainReport { finished: 0, released: 0, abandoned: entries as u64, waiting: 0 });
        bench.append(1).await;
        assert_eq!(bench.rows().await.len(), entries, "the abandoned read is handed nothing");
    }
}

#[tokio::test]
async fn a_retry_in_a_drain_stays_pending_and_counted() {
    let bench = Bench::with_group().await;
    let ids = bench.append(1).await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let (log, permits) = (seen.clone(), Arc::clone(&gate));
    let worker = bench.run(
        quick("c"),
        On(move |delivery: Delivery| {
            log.note(&delivery);
            let permits = Arc::clone(&permits);
            async move {
                permits.acquire().await.expect("an open gate").forget();
                retry("not now")
            }
        }),
    );
    seen.reaches(1).await;
    worker.shutdown.cancel();
    gate.add_permits(1);
    let report = worker.end().await.unwrap();
    assert_eq!((report.finished, report.waiting, report.abandoned), (1, 1, 0));
    assert_eq!(bench.owners().await, [(ids[0], "c".into(), 1)]);
    assert!(bench.rows().await[0].idle > Duration::from_mins(1), "claimable at once");
}

#[tokio::test]
async fn no_handler_is_started_twice_by_a_clean_drain_under_load() {
    let bench = Bench::with_group().await;
    for _ in 0..6 {
        bench.append(500).await;
    }
    let seen = Seen::default();
    // Not so short that a busy machine lets leases run out.
    let claim_min_idle = Duration::from_secs(2);
    let settings =
        |name: &str| WorkerSettings { concurrency: 8, read_count: 50, claim_min_idle, ..quick(name) };
    let handler = || {
        let seen = seen.clone();
        On(move |delivery: Delivery| {
            seen.note(&delivery);
            async {
                tokio::time::sleep(Duration::from_millis(2)).await;
                Outcome::Ack
            }
        })
    };
    let peer = bench.run(settings("peer"), handler());
    for _ in 0..5 {
        let before = seen.all().len();
        let worker = bench.run(settings("restarted"), handler());
        seen.reaches(before + 200).await;
        assert_eq!(worker.drain().await.abandoned, 0);
    }
    bench.settled().await;
    let mut ids = seen.ids();
    assert_eq!(ids.len(), 3_000);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3_000);
    assert!(seen.counts().iter().all(|(_, deliveries)| *deliveries == 1));
    peer.drain().await;
}

#[tokio::test]
async fn a_drain_without_redis_ends_in_time() {
    let mut bench = Bench::with_group().await;
    bench.append(2).await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let settings = WorkerSettings { drain_timeout: Duration::from_millis(300), ..quick("c") };
    let worker = gated(&bench, settings, &seen, &gate);
    seen.reaches(2).await;
    bench.server.kill();
    gate.add_permits(2);
    let started = tokio::time::Instant::now();
    let report = worker.drain().await;
    assert_eq!(report.finished, 0, "nothing could be acked");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_worker_that_never_reached_redis_can_be_stopped() {
    let mut bench = Bench::start().await;
    bench.server.kill();
    let worker = bench.run(quick("c"), Seen::default().acking());
    eventually(SOON, "it has tried", async || {
        (worker.metric("worker_redis_errors_total", "\"connection\"") > 0).then_some(())
    })
    .await;
    assert_eq!(worker.drain().await, DrainReport::default());
}
