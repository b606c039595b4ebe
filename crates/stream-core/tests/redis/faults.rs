//! Faults under a running worker: group and stream gone, Redis gone, connections cut.

use std::time::Duration;

use stream_core::{Delivery, Outcome, StreamId, WorkerSettings};
use testkit::{RedisServer, eventually};
use tokio::time::Instant;

use crate::support::{Bench, GROUP, MIN_IDLE, On, Running, SOON, Seen, quick};

fn redis_errors(worker: &Running) -> u64 {
    ["no_group", "connection", "timeout", "server"]
        .iter()
        .map(|kind| worker.metric("worker_redis_errors_total", &format!("\"{kind}\"")))
        .sum()
}

async fn handles(seen: &Seen, ids: &[StreamId]) {
    eventually(SOON, "the entries are handled", async || {
        let handled = seen.ids();
        ids.iter().all(|id| handled.contains(id)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_destroyed_group_is_recreated_at_its_position() {
    let bench = Bench::start().await;
    let seen = Seen::default();
    let worker = bench.run(quick("c"), seen.acking());
    let before = bench.append(20).await;
    bench.settled().await;
    eventually(SOON, "the position is recorded", async || {
        let position: Option<String> =
            bench.cmd(&format!("GET {}", bench.stream.key().position(GROUP))).await;
        (position == Some(before[19].to_string())).then_some(())
    })
    .await;
    bench.cmd::<i64>(&format!("XGROUP DESTROY $stream {GROUP}")).await;
    let after = bench.append(20).await;
    handles(&seen, &after).await;
    bench.settled().await;
    assert_eq!(seen.all().len(), 40, "what was settled is not delivered again");
    assert_eq!(worker.metric("worker_group_restores_total", ""), 1);
    assert_eq!(bench.stream.consumers(GROUP).await.unwrap()[0].name, "c");
    assert!(redis_errors(&worker) < 10, "no hot loop");
    worker.drain().await;
}

#[tokio::test]
async fn a_deleted_stream_is_recreated_and_read_on() {
    let bench = Bench::start().await;
    let seen = Seen::default();
    let worker = bench.run(quick("c"), seen.acking());
    for _ in 0..3 {
        bench.append(5).await;
        bench.settled().await;
        bench.stream.delete_stream().await.unwrap();
        eventually(SOON, "stream and group are there again", async || {
            let groups = bench.stream.groups().await.ok()?;
            groups.iter().any(|group| group.name == GROUP).then_some(())
        })
        .await;
        let after = bench.append(5).await;
        handles(&seen, &after).await;
    }
    assert!(redis_errors(&worker) < 30, "no hot loop");
    worker.drain().await;
}

#[tokio::test]
async fn a_group_destroyed_while_handlers_run_loses_no_room() {
    let bench = Bench::start().await;
    let seen = Seen::default();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let (log, permits) = (seen.clone(), std::sync::Arc::clone(&gate));
    let settings = WorkerSettings { max_in_flight: 4, concurrency: 4, ..quick("c") };
    let worker = bench.run(
        settings,
        On(move |delivery: Delivery| {
            log.note(&delivery);
            let permits = std::sync::Arc::clone(&permits);
            async move {
                permits.acquire().await.unwrap().forget();
                Outcome::Ack
            }
        }),
    );
    let ids = bench.append(2).await;
    seen.reaches(2).await;
    // Nothing is settled, so the recreated group delivers both again, to the consumer that still runs them.
    bench.cmd::<i64>(&format!("XGROUP DESTROY $stream {GROUP}")).await;
    eventually(SOON, "they are delivered again", async || {
        let rows = bench.stream.pending_summary(GROUP).await.ok()?;
        (rows.count == 2).then_some(())
    })
    .await;
    gate.add_permits(10_000);
    bench.settled().await;
    assert_eq!(worker.metric("worker_in_flight", ""), 0);
    assert_eq!(seen.ids().iter().filter(|id| **id == ids[0]).count(), 1, "its handler was running");
    bench.append(100).await;
    bench.settled().await;
    assert_eq!(worker.metric("worker_in_flight", ""), 0);
    worker.drain().await;
}

#[tokio::test]
async fn a_group_that_goes_before_the_own_entries_are_taken_over_is_recreated() {
    let bench = Bench::with_group().await;
    bench.append(500).await;
    bench.deliver_to("c", 500).await;
    let seen = Seen::default();
    let log = seen.clone();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let permits = std::sync::Arc::clone(&gate);
    let settings = WorkerSettings { max_in_flight: 10, ..quick("c") };
    let worker = bench.run(
        settings,
        On(move |delivery: Delivery| {
            log.note(&delivery);
            let permits = std::sync::Arc::clone(&permits);
            async move {
                permits.acquire().await.unwrap().forget();
                Outcome::Ack
            }
        }),
    );
    seen.reaches(10).await;
    bench.cmd::<i64>(&format!("XGROUP DESTROY $stream {GROUP}")).await;
    gate.add_permits(10_000);
    bench.settled().await;
    worker.drain().await;
}

#[tokio::test]
async fn redis_killed_and_restarted_loses_nothing() {
    let server = RedisServer::builder().append_only(true).start().await;
    let mut bench = Bench::on(server).await;
    let seen = Seen::default();
    let log = seen.clone();
    let worker = bench.run(
        quick("c"),
        On(move |delivery: Delivery| {
            log.note(&delivery);
            async {
                tokio::time::sleep(Duration::from_millis(3)).await;
                Outcome::Ack
            }
        }),
    );
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.extend(bench.append(300).await);
        seen.reaches(ids.len() - 200).await;
        bench.server.kill();
        eventually(SOON, "the worker notices", async || (redis_errors(&worker) > 0).then_some(())).await;
        bench.server.restart().await;
        bench.reconnect().await;
    }
    ids.extend(bench.append_again().await);
    handles(&seen, &ids).await;
    bench.settled().await;
    assert!(bench.dead_letters().await.is_empty());
    worker.drain().await;
}

#[tokio::test]
async fn cut_connections_leave_no_entry_stuck() {
    let bench = Bench::start().await;
    let seen = Seen::default();
    let worker = bench.run(quick("c"), seen.acking());
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.extend(bench.append_again().await);
        bench.cmd::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
        ids.extend(bench.append_again().await);
    }
    let started = Instant::now();
    handles(&seen, &ids).await;
    bench.settled().await;
    // Reads that were cut off may have been given entries: they come back once they have been idle.
    assert!(started.elapsed() < MIN_IDLE + Duration::from_secs(4), "{:?}", started.elapsed());
    assert!(seen.counts().iter().all(|(_, deliveries)| *deliveries <= 2));
    worker.drain().await;
}

#[tokio::test]
async fn a_paused_redis_is_waited_for() {
    let bench = Bench::start().await;
    let seen = Seen::default();
    let worker = bench.run(quick("c"), seen.acking());
    bench.append(10).await;
    bench.settled().await;
    bench.cmd::<()>("CLIENT PAUSE 2500 ALL").await;
    let ids = bench.append_again().await;
    handles(&seen, &ids).await;
    bench.settled().await;
    worker.drain().await;
}

#[tokio::test]
async fn a_full_redis_is_drained_all_the_same() {
    let server = RedisServer::builder().max_memory_bytes(6_000_000).start().await;
    let bench = Bench::on(server).await;
    let value = "x".repeat(10_000);
    while bench.stream.append([("v", &value)]).await.is_ok() {}
    let seen = Seen::default();
    bench.cmd::<()>("CONFIG SET maxmemory 0").await;
    bench.stream.restore_group(GROUP).await.unwrap();
    bench.stream.create_consumer(GROUP, "c").await.unwrap();
    let worker = bench.run(quick("c"), seen.acking());
    seen.reaches(1).await;
    bench.cmd::<()>("CONFIG SET maxmemory 1000000").await;
    bench.settled().await;
    worker.drain().await;
}

impl Bench {
    /// Appends until it works: the connection may be down.
    async fn append_again(&self) -> Vec<StreamId> {
        let id = eventually(SOON, "an append works", async || self.stream.append([("n", "1")]).await).await;
        vec![id]
    }
}
