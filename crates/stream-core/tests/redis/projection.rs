//! Projections: effects applied exactly once, whatever is delivered how often to whom.

use std::{collections::HashMap, time::Duration};

use stream_core::{Delivery, Effects, Projection, Rejection, StreamId, WorkerSettings};
use testkit::eventually;

use crate::support::{Bench, GROUP, SOON, quick};

/// Counts entries, sums `n`, and everything else an effect can do.
pub(crate) struct Counting;

impl Projection for Counting {
    fn project(&self, delivery: &Delivery, effects: &mut Effects<'_>) -> Result<(), Rejection> {
        let number = delivery.fields.get("n").and_then(|n| std::str::from_utf8(n).ok()?.parse::<i64>().ok());
        // Stated before the entry turns out to be none: must not count.
        effects.hash_increment("totals", "seen", 1);
        let Some(n) = number else { return Err(Rejection { reason: "n is not a number".to_owned() }) };
        assert!(n != -666, "a bug in the projection");
        effects.hash_increment("totals", "sum", n);
        let customer = format!("c-{}", n % 10);
        effects.sorted_set_increment("customers", &customer, n);
        effects.sorted_set_max("newest", &customer, n);
        effects.sorted_set_keep("top", &format!("e-{n}"), n, 3);
        effects.count_first("orders", &customer, n, "totals", "customers");
        effects.expire("top", Duration::from_hours(1));
        Ok(())
    }

    fn key_prefixes(&self) -> &[&str] {
        &["totals", "customers", "newest", "top", "orders"]
    }
}

impl Bench {
    pub(crate) fn key(&self, suffix: &str) -> String {
        self.stream.key().with_suffix(suffix)
    }

    /// Of the live generation.
    pub(crate) async fn totals(&self) -> HashMap<String, i64> {
        let projected = self.stream.projected(GROUP).await.expect("HGET");
        projected.hash("totals").await.expect("HGETALL").into_iter().collect()
    }

    /// Appends entries whose `n` are these.
    pub(crate) async fn numbers(&self, numbers: impl IntoIterator<Item = i64>) -> Vec<StreamId> {
        let entries = numbers.into_iter().map(|n| [("n", n.to_string())]);
        self.stream.append_batch(entries).await.into_iter().map(|id| id.expect("appended")).collect()
    }

    /// Checks that the entries 0 to 999 have been counted, each once.
    pub(crate) async fn assert_thousand_counted_once(&self) {
        let live = self.stream.projected(GROUP).await.expect("HGET");
        let expected = [("seen", 1_000), ("sum", 499_500), ("customers", 10)];
        assert_eq!(self.totals().await, expected.map(|(k, v)| (k.to_owned(), v)).into());
        let customers: HashMap<String, i64> =
            self.cmd(&format!("ZRANGE {} 0 -1 WITHSCORES", live.key("customers"))).await;
        assert_eq!(customers, (0..10).map(|c| (format!("c-{c}"), 49_500 + c * 100)).collect());
        let newest: HashMap<String, i64> =
            self.cmd(&format!("ZRANGE {} 0 -1 WITHSCORES", live.key("newest"))).await;
        assert_eq!(newest, (0..10).map(|c| (format!("c-{c}"), 990 + c)).collect());
        let top: Vec<String> = self.cmd(&format!("ZRANGE {} 0 -1", live.key("top"))).await;
        assert_eq!(top, ["e-997", "e-998", "e-999"]);
        assert!(self.cmd::<i64>(&format!("TTL {}", live.key("top"))).await > 3_500);
    }
}

#[tokio::test]
async fn every_effect_is_applied_once() {
    let bench = Bench::start().await;
    let worker = bench.project(quick("c"), Counting);
    bench.numbers(0..1_000).await;
    bench.settled().await;
    bench.assert_thousand_counted_once().await;
    let firsts: HashMap<String, i64> = bench.cmd(&format!("HGETALL {}", bench.key("orders"))).await;
    assert_eq!(firsts, (0..10).map(|c| (format!("c-{c}"), c)).collect());
    eventually(SOON, "all are counted as acked", async || {
        (worker.metric("worker_deliveries_total", "\"acked\"") == 1_000).then_some(())
    })
    .await;
    worker.drain().await;
    assert!(bench.stream.consumers(GROUP).await.unwrap().is_empty());
}

#[tokio::test]
async fn entries_claimed_back_and_forth_count_once() {
    let bench = Bench::with_group().await;
    bench.numbers(0..1_000).await;
    // Leases so short that they run out between any two renewals: both workers claim from each other what
    // they are about to commit, and so does a third party that never commits anything.
    let settings = |name: &str| WorkerSettings {
        claim_min_idle: Duration::from_millis(1),
        claim_interval: Duration::from_millis(1),
        read_count: 40,
        max_deliveries: 1_000_000,
        ..quick(name)
    };
    let workers = [bench.project(settings("a"), Counting), bench.project(settings("b"), Counting)];
    let thief = async {
        loop {
            let ids: Vec<_> = bench.rows().await.into_iter().map(|row| row.id).collect();
            bench.stream.claim(GROUP, "thief", Duration::ZERO, &ids).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = thief => unreachable!(),
        () = async { bench.settled_but_for_suspects().await } => {}
    }
    bench.settled().await;
    bench.assert_thousand_counted_once().await;
    for worker in workers {
        worker.drain().await;
    }
}

impl Bench {
    /// Waits until most of the entries are through, with a thief about.
    async fn settled_but_for_suspects(&self) {
        eventually(SOON, "most are settled", async || {
            let seen = self.totals().await.get("seen").copied().unwrap_or(0);
            if seen >= 900 { Ok(()) } else { Err(seen.to_string()) }
        })
        .await;
    }
}

#[tokio::test]
async fn a_crashed_workers_batch_counts_once() {
    let bench = Bench::with_group().await;
    bench.numbers(0..1_000).await;
    bench.deliver_to("crashed", 300).await;
    let worker = bench.project(quick("c"), Counting);
    bench.settled().await;
    bench.assert_thousand_counted_once().await;
    worker.drain().await;
}

#[tokio::test]
async fn a_rejected_entry_is_dead_lettered_beside_its_batch() {
    let bench = Bench::start().await;
    bench.numbers(0..500).await;
    let bad = bench.stream.append([("n", "many")]).await.unwrap();
    bench.numbers(500..1_000).await;
    let worker = bench.project(quick("c"), Counting);
    bench.settled().await;
    bench.assert_thousand_counted_once().await;
    assert_eq!(bench.dead().await, [(bad.to_string(), "poison".into())]);
    worker.drain().await;
}

#[tokio::test]
async fn a_panic_is_a_retry_of_its_entry_alone() {
    let bench = Bench::start().await;
    bench.numbers(0..500).await;
    let bad = bench.numbers([-666]).await[0];
    bench.numbers(500..1_000).await;
    // Not so short that a busy machine lets leases run out: a claim would find the last attempt made.
    let claim_min_idle = Duration::from_secs(2);
    let settings = WorkerSettings { max_deliveries: 2, claim_min_idle, ..quick("c") };
    let worker = bench.project(settings, Counting);
    bench.settled().await;
    bench.assert_thousand_counted_once().await;
    let letter = &bench.dead_letters().await[0];
    assert_eq!(crate::support::text(letter, "_dl_id"), bad.to_string());
    assert!(crate::support::text(letter, "_dl_error").contains("a bug in the projection"));
    worker.drain().await;
}
