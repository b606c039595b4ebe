//! Projections that cannot be written: nothing is half applied, and nothing is lost.

use std::time::Duration;

use stream_core::{Delivery, Effects, Projection, Rejection, WorkerSettings};
use testkit::eventually;

use crate::{
    projection::Counting,
    support::{Bench, GROUP, SOON, quick, text},
};

const LIMIT: i64 = 1 << 53;

#[tokio::test]
async fn an_overflow_dead_letters_only_the_entry_that_causes_it() {
    let bench = Bench::start().await;
    bench.numbers(0..500).await;
    let bad = bench.numbers([LIMIT - 10, i64::MAX, i64::MIN + 1]).await;
    bench.numbers(500..1_000).await;
    let worker = bench.project(quick("c"), Counting);
    bench.settled().await;
    bench.assert_thousand_counted_once().await;
    let mut dead = bench.dead().await;
    dead.sort();
    assert_eq!(dead, bad.iter().map(|id| (id.to_string(), "poison".to_owned())).collect::<Vec<_>>());
    assert!(text(&bench.dead_letters().await[0], "_dl_error").contains("would pass 2^53"));
    worker.drain().await;
}

/// Writes one key as whatever its type is, and counts.
struct Touches(fn(&mut Effects<'_>));

impl Projection for Touches {
    fn project(&self, _: &Delivery, effects: &mut Effects<'_>) -> Result<(), Rejection> {
        effects.hash_increment("count", "entries", 1);
        (self.0)(effects);
        Ok(())
    }
}

/// Breaks a key, checks that nothing is acked or counted, repairs it, checks that everything is.
async fn stuck_until_repaired(touches: fn(&mut Effects<'_>), breaks: &str, repairs: &str) {
    let bench = Bench::with_group().await;
    let key = bench.stream.key().with_suffix("broken");
    bench.cmd::<redis::Value>(&breaks.replace("$key", &key)).await;
    let worker = bench.project(quick("c"), Touches(touches));
    bench.numbers(0..50).await;
    let errors = || {
        let kinds = ["wrong_type", "server", "reply"];
        let errors = kinds.map(|kind| worker.metric("worker_redis_errors_total", &format!("\"{kind}\"")));
        errors.iter().sum::<u64>()
    };
    eventually(SOON, "two commits were refused", async || (errors() >= 2).then_some(())).await;
    assert_eq!(bench.rows().await.len(), 50, "{breaks}: nothing is acked");
    let counted: Option<i64> =
        bench.cmd(&format!("HGET {} entries", bench.stream.key().with_suffix("count"))).await;
    assert_eq!(counted, None, "{breaks}: nothing is half applied");
    bench.cmd::<redis::Value>(&repairs.replace("$key", &key)).await;
    bench.settled().await;
    let counted: i64 = bench.cmd(&format!("HGET {} entries", bench.stream.key().with_suffix("count"))).await;
    assert_eq!(counted, 50);
    assert!(bench.dead_letters().await.is_empty());
    worker.drain().await;
}

#[tokio::test]
async fn keys_of_another_type_hold_the_batch_until_they_are_repaired() {
    stuck_until_repaired(|e| e.hash_increment("broken", "f", 1), "SET $key text", "DEL $key").await;
    stuck_until_repaired(|e| e.sorted_set_increment("broken", "m", 1), "SET $key text", "DEL $key").await;
    stuck_until_repaired(|e| e.count_first("x", "f", 1, "broken", "f"), "SET $key text", "DEL $key").await;
}

#[tokio::test]
async fn fields_that_are_no_whole_numbers_hold_the_batch_until_they_are_repaired() {
    for value in ["1.5", "0x10", "text", "007"] {
        let breaks = format!("HSET $key f {value}");
        stuck_until_repaired(|e| e.hash_increment("broken", "f", 1), &breaks, "DEL $key").await;
    }
    let broken = "HSET $key f 1.5";
    stuck_until_repaired(|e| e.count_first("x", "f", 1, "broken", "f"), broken, "DEL $key").await;
}

#[tokio::test]
async fn an_entry_acked_by_somebody_else_meanwhile_is_not_applied() {
    let bench = Bench::with_group().await;
    let key = bench.stream.key().with_suffix("broken");
    bench.cmd::<()>(&format!("SET {key} text")).await;
    let worker = bench.project(quick("c"), Touches(|e| e.hash_increment("broken", "f", 1)));
    let ids = bench.numbers(0..10).await;
    eventually(SOON, "a commit is refused", async || {
        let refused = worker.metric("worker_redis_errors_total", "\"wrong_type\"") > 0;
        (refused && bench.rows().await.len() == 10).then_some(())
    })
    .await;
    bench.stream.ack("g", &ids[..3]).await.unwrap();
    bench.cmd::<i64>(&format!("DEL {key}")).await;
    bench.settled().await;
    assert_eq!(bench.cmd::<i64>(&format!("HGET {key} f")).await, 7);
    worker.drain().await;
}

#[tokio::test]
async fn one_key_used_as_two_types_is_found_before_anything_is_written() {
    let bench = Bench::with_group().await;
    let worker = bench.project(
        WorkerSettings { drain_timeout: Duration::from_millis(200), ..quick("c") },
        Touches(|effects| {
            effects.hash_increment("both", "f", 1);
            effects.sorted_set_increment("both", "m", 1);
        }),
    );
    bench.numbers(0..5).await;
    eventually(SOON, "a commit is refused", async || {
        (worker.metric("worker_redis_errors_total", "\"wrong_type\"") >= 1).then_some(())
    })
    .await;
    assert_eq!(bench.rows().await.len(), 5);
    assert_eq!(bench.cmd::<i64>(&format!("EXISTS {}", bench.stream.key().with_suffix("both"))).await, 0);
    // A drain that cannot commit gives the entries back.
    assert_eq!(worker.drain().await.abandoned, 5);
}

#[tokio::test]
async fn the_longest_time_to_live_is_no_error() {
    let bench = Bench::with_group().await;
    let worker = bench.project(
        quick("c"),
        Touches(|effects| {
            effects.hash_increment("kept", "f", 1);
            effects.expire("kept", Duration::MAX);
        }),
    );
    bench.numbers(0..5).await;
    bench.settled().await;
    let kept: i64 = bench.cmd(&format!("HGET {} f", bench.stream.key().with_suffix("kept"))).await;
    assert_eq!(kept, 5);
    worker.drain().await;
}

#[tokio::test]
async fn a_counter_at_its_limit_takes_no_more() {
    let bench = Bench::with_group().await;
    let key = bench.stream.key().with_suffix("full");
    bench.cmd::<i64>(&format!("HSET {key} f {}", LIMIT - 3)).await;
    let worker = bench.project(
        quick("c"),
        Touches(|effects| effects.count_first("firsts", &fastrand::u64(..).to_string(), 1, "full", "f")),
    );
    bench.numbers(0..5).await;
    bench.settled().await;
    let full: i64 = bench.cmd(&format!("HGET {key} f")).await;
    assert_eq!(full, LIMIT - 1);
    assert_eq!(bench.dead().await.len(), 3);
    worker.drain().await;
}

#[tokio::test]
async fn a_group_that_is_gone_is_recreated_and_nothing_counts_twice() {
    let bench = Bench::with_group().await;
    // An entry of somebody else that stays pending holds the recorded position down: all the others are delivered
    // again by the recreated group.
    bench.numbers([0]).await;
    bench.deliver_to("somebody", 1).await;
    let worker = bench.project(WorkerSettings { claim_auto: false, ..quick("c") }, Counting);
    bench.numbers(1..500).await;
    applied(&bench, 499).await;
    bench.cmd::<i64>("XGROUP DESTROY $stream g").await;
    bench.numbers(500..1_000).await;
    bench.settled().await;
    bench.assert_thousand_counted_once().await;
    assert!(bench.dead_letters().await.is_empty());

    // Nor when somebody has recreated it at the very beginning, below the recorded position.
    let position = bench.stream.key().position("g");
    let newest = bench.stream.info().await.unwrap().last_generated_id.to_string();
    eventually(SOON, "the position is recorded", async || {
        let recorded: Option<String> = bench.cmd(&format!("GET {position}")).await;
        recorded.filter(|recorded| *recorded == newest)
    })
    .await;
    bench.cmd::<()>("XGROUP SETID $stream g 0").await;
    bench.settled().await;
    bench.assert_thousand_counted_once().await;
    worker.drain().await;
}

#[tokio::test]
async fn what_was_applied_is_forgotten_once_the_position_has_passed_it() {
    let bench = Bench::with_group().await;
    let worker = bench.project(quick("c"), Counting);
    bench.numbers(0..500).await;
    bench.settled().await;
    let kept = format!("{}:applied", bench.stream.key().position("g"));
    eventually(SOON, "only those of the last millisecond are kept", async || {
        let last = bench.stream.info().await.ok()?.last_generated_id;
        let older: i64 = bench.cmd(&format!("ZCOUNT {kept} -inf ({}", last.ms)).await;
        (older == 0).then_some(())
    })
    .await;
    worker.drain().await;
}

async fn applied(bench: &Bench, entries: i64) {
    eventually(SOON, "the entries are counted", async || {
        let seen = bench.totals().await.get("seen").copied().unwrap_or(0);
        if seen == entries { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_spoilt_state_stops_commits_before_anything_is_acked_and_is_told() {
    for (field, value) in [("epoch", "007"), ("epoch", "-1"), ("counted:0", "9223372036854775807")] {
        let bench = Bench::with_group().await;
        let state = bench.stream.key().projection(GROUP);
        bench.cmd::<i64>(&format!("HSET {state} {field} {value}")).await;
        let worker = bench.project(quick("c"), Counting);
        bench.numbers(0..10).await;
        eventually(SOON, "commits are refused", async || {
            (worker.metric("worker_redis_errors_total", "\"wrong_type\"") >= 2).then_some(())
        })
        .await;
        assert_eq!(bench.rows().await.len(), 10, "{field} {value}: nothing is acked");
        bench.cmd::<i64>(&format!("HDEL {state} {field}")).await;
        bench.settled().await;
        assert_eq!(bench.totals().await["seen"], 10);
        worker.drain().await;
    }
}
