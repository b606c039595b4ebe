//! Recovery on a server that refuses writes, or whose derived keys somebody has spoilt.

use std::{sync::Arc, time::Duration};

use stream_core::{
    ConsumerCounters, DeadReason, Delivery, Holder, Lease, NameLease, NameRenewal, Outcome, StreamId, Take,
    WorkerSettings,
};
use testkit::RedisServer;
use tokio::sync::Semaphore;

use crate::{
    projection::Counting,
    support::{Bench, GROUP, On, SOON, Seen, quick, retry, text},
};

const HOUR: Duration = Duration::from_hours(1);

/// A server that refuses whatever needs memory, from now until the limit is lifted.
async fn full() -> Bench {
    full_of(10_000).await
}

/// The same with entries of this size.
async fn full_of(bytes: usize) -> Bench {
    let server = RedisServer::builder().max_memory_bytes(6_000_000).start().await;
    let bench = Bench::on(server).await;
    bench.stream.restore_group(GROUP).await.expect("the group exists");
    let value = "x".repeat(bytes);
    while bench.stream.append([("v", &value)]).await.is_ok() {}
    bench.cmd::<()>("CONFIG SET maxmemory 1000000").await;
    bench
}

#[tokio::test]
async fn a_worker_that_starts_on_a_full_server_drains_it() {
    let bench = full().await;
    let seen = Seen::default();
    let worker = bench.run(quick("fresh"), seen.acking());
    bench.settled().await;
    assert!(!seen.ids().is_empty());
    worker.drain().await;
}

#[tokio::test]
async fn leases_can_be_taken_and_kept_on_a_full_server() {
    let bench = full().await;
    let key = bench.stream.key().reaper_lease();
    let lease = Lease::new(bench.stream.connection().clone(), key, "me".to_owned(), Duration::from_secs(9));
    assert_eq!(lease.take(None).await.unwrap(), Take::Taken);
    assert!(lease.renew().await.unwrap());
    assert!(lease.release().await.unwrap());

    let holder = Holder::current("host-1", "");
    let name = NameLease::reserve(&bench.stream, GROUP, "c", &holder, Duration::from_secs(9)).await.unwrap();
    let done = ConsumerCounters { processed: 2, acked: 2, ..ConsumerCounters::default() };
    assert_eq!(name.renew(done).await.unwrap(), NameRenewal::Held);
    assert_eq!(bench.stream.group_totals(GROUP).await.unwrap(), done);
}

#[tokio::test]
async fn an_exhausted_row_does_not_keep_a_full_server_from_being_drained() {
    let bench = full().await;
    bench.deliver_to("dead", 50).await;
    let ids: Vec<StreamId> = bench.rows().await.iter().map(|row| row.id).collect();
    for id in &ids {
        bench.set_row("dead", *id, 1, HOUR).await;
    }
    bench.set_row("dead", ids[0], 5, HOUR).await;
    let seen = Seen::default();
    let worker = bench.run(quick("peer"), seen.acking());
    bench.settled().await;
    assert_eq!(bench.dead().await, [(ids[0].to_string(), DeadReason::MaxDeliveries.label().to_owned())]);
    assert!(!seen.ids().contains(&ids[0]) && seen.ids().contains(&ids[1]));
    worker.drain().await;
}

#[tokio::test]
async fn dead_letters_that_cannot_be_written_hold_up_nothing_but_themselves() {
    let bench = Bench::with_group().await;
    let ids = bench.append(10).await;
    bench.deliver_to("dead", 10).await;
    for id in &ids {
        bench.set_row("dead", *id, 1, HOUR).await;
    }
    bench.set_row("dead", ids[3], 5, HOUR).await;
    bench.cmd::<i64>(&format!("XDEL $stream {}", ids[4])).await;
    let dead_letters = bench.stream.key().dead_letters(GROUP);
    bench.cmd::<()>(&format!("SET {dead_letters} spoilt")).await;

    let seen = Seen::default();
    let worker = bench.run(quick("peer"), seen.acking());
    seen.reaches(8).await;
    testkit::eventually(SOON, "only what cannot be settled is left", async || {
        let left: Vec<StreamId> = bench.rows().await.iter().map(|row| row.id).collect();
        if left == ids[3..5] { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    bench.cmd::<i64>(&format!("DEL {dead_letters}")).await;
    bench.settled().await;
    let mut dead = bench.dead().await;
    dead.sort();
    let expected =
        [(ids[3].to_string(), "max_deliveries".to_owned()), (ids[4].to_string(), "payload_lost".to_owned())];
    assert_eq!(dead, expected);
    worker.drain().await;
}

#[tokio::test]
async fn a_spoilt_position_stops_commits_before_anything_is_acked() {
    let bench = Bench::with_group().await;
    let position = bench.stream.key().position(GROUP);
    let worker = bench.project(quick("c"), Counting);
    bench.numbers(0..500).await;
    bench.settled().await;
    bench.cmd::<()>(&format!("SET {position} nonsense")).await;
    bench.numbers(500..1_000).await;
    testkit::eventually(SOON, "commits are refused", async || {
        (worker.metric("worker_redis_errors_total", "\"wrong_type\"") >= 2).then_some(())
    })
    .await;
    let delivered = bench.rows().await.len();
    assert!(delivered >= 100, "{delivered} pending: none is acked");
    bench.cmd::<i64>(&format!("DEL {position}")).await;
    bench.settled().await;
    bench.assert_thousand_counted_once().await;
    worker.drain().await;
}

#[tokio::test]
async fn a_trimmed_entry_that_its_owner_still_holds_is_counted() {
    let bench = Bench::with_group().await;
    let ids = bench.append(3).await;
    bench.deliver_to("a", 3).await;
    bench.cmd::<i64>("XTRIM $stream MAXLEN 0").await;
    let renewed = bench.stream.renew(GROUP, "a", &ids, &[]).await.unwrap();
    assert_eq!((renewed.renewed, renewed.gone), (0, ids.clone()));
    assert_eq!(bench.stream.ack(GROUP, &ids).await.unwrap(), 3, "the rows were left to their owner");
}

#[tokio::test]
async fn what_was_trimmed_while_it_was_handled_and_then_failed_is_a_dead_letter_with_its_payload() {
    for (outcome, reason) in [
        (Outcome::DeadLetter { reason: "no such customer".to_owned() }, "rejected"),
        (Outcome::Poison { reason: "no such customer".to_owned() }, "poison"),
        (retry("no such customer"), "max_deliveries"),
    ] {
        let bench = Bench::with_group().await;
        let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
        let (log, permits) = (seen.clone(), Arc::clone(&gate));
        let worker = bench.run(
            WorkerSettings { max_deliveries: 1, claim_min_idle: HOUR, ..quick("c") },
            On(move |delivery: Delivery| {
                log.note(&delivery);
                let (permits, outcome) = (Arc::clone(&permits), outcome.clone());
                async move {
                    permits.acquire().await.expect("an open gate").forget();
                    outcome
                }
            }),
        );
        let id = bench.append(1).await[0];
        let wide = bench.stream.append((0..4_000).map(|n| (n.to_string(), "v"))).await.unwrap();
        seen.reaches(2).await;
        bench.cmd::<i64>("XTRIM $stream MAXLEN 0").await;
        gate.add_permits(2);
        bench.settled().await;
        let mut letters = bench.dead_letters().await;
        letters.sort_by_key(|letter| letter.fields.len());
        let told = |at: usize| ["_dl_id", "_dl_reason", "_dl_error"].map(|name| text(&letters[at], name));
        assert_eq!(told(0), [id.to_string().as_str(), reason, "no such customer"]);
        let payload: Vec<_> = letters[0].fields.iter().skip(7).collect();
        assert_eq!(payload, [(&b"n"[..], &b"0"[..]), (&b"order_id"[..], &b"o-0"[..])]);
        assert_eq!(told(1), [wide.to_string().as_str(), reason, "no such customer"]);
        assert_eq!(letters[1].fields.len(), 4_007);
        worker.drain().await;
    }
}

/// Rows that are to be dead letters, more than a page of them, and others behind.
async fn behind_pages_of_exhausted_rows(bench: &Bench) -> Vec<StreamId> {
    bench.deliver_to("dead", 1_000).await;
    let ids: Vec<StreamId> = bench.rows().await.iter().map(|row| row.id).collect();
    assert!(ids.len() > 450, "{} entries fit", ids.len());
    for (at, id) in ids.iter().enumerate() {
        bench.set_row("dead", *id, if at < 450 { 5 } else { 1 }, HOUR).await;
    }
    ids
}

#[tokio::test]
async fn pages_of_dead_letters_that_cannot_be_written_do_not_hide_what_is_behind_them() {
    let bench = Bench::with_group().await;
    bench.append(500).await;
    let ids = behind_pages_of_exhausted_rows(&bench).await;
    let dead_letters = bench.stream.key().dead_letters(GROUP);
    bench.cmd::<()>(&format!("SET {dead_letters} spoilt")).await;
    let seen = Seen::default();
    let worker = bench.run(quick("peer"), seen.acking());
    seen.reaches(50).await;
    assert!(worker.metric("worker_redis_errors_total", "\"wrong_type\"") > 0, "it is told");
    assert_eq!(bench.rows().await.len(), 450);
    bench.cmd::<i64>(&format!("DEL {dead_letters}")).await;
    bench.settled().await;
    assert_eq!((bench.dead().await.len(), seen.ids()), (450, ids[450..].to_vec()));
    worker.drain().await;
}

#[tokio::test]
async fn pages_of_exhausted_rows_do_not_keep_a_full_server_from_being_drained() {
    let bench = full_of(5_000).await;
    let ids = behind_pages_of_exhausted_rows(&bench).await;
    let seen = Seen::default();
    let worker = bench.run(quick("peer"), seen.acking());
    seen.reaches(ids.len() - 450).await;
    bench.cmd::<()>("CONFIG SET maxmemory 0").await;
    bench.settled().await;
    assert_eq!((bench.dead().await.len(), seen.ids()), (450, ids[450..].to_vec()));
    worker.drain().await;
}
