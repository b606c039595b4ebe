//! Crashes: what a killed worker leaves behind is settled by its peers, and counted once.

use std::time::Duration;

use e2e::{Pipeline, Role, Service};
use testkit::eventually;

const SOON: Duration = Duration::from_secs(30);
const PAID: [(&str, &str); 4] =
    [("type", "order.paid"), ("order_id", "o-1"), ("customer", "eve"), ("amount", "1.25")];
const POISON: [(&str, &str); 4] =
    [("type", "order.paid"), ("order_id", "o-1"), ("customer", "eve"), ("amount", "much")];

/// A pipeline whose idle workers are practically always blocked in a read.
async fn pipeline() -> Pipeline {
    let mut pipeline = Pipeline::new().await;
    pipeline.set("ORDERFLOW__WORKER__BLOCK", "60s");
    pipeline.set("ORDERFLOW__WORKER__DRAIN_TIMEOUT", "61s");
    pipeline.set("ORDERFLOW__SHUTDOWN__GRACE", "62s");
    pipeline
}

/// Stops a group's only workers in the middle of a read, so that what is appended is delivered to them and
/// nothing comes of it.
async fn strand(pipeline: &Pipeline, workers: &[&Service], groups: &[&str], entries: usize) {
    let mut connection = pipeline.connection().await;
    eventually(SOON, "every worker is blocked in a read", async || {
        let info: String =
            redis::cmd("INFO").arg("clients").query_async(&mut connection).await.expect("INFO answers");
        let blocked = format!("blocked_clients:{}", workers.len());
        info.lines().any(|line| line == blocked).then_some(()).ok_or(info)
    })
    .await;
    for worker in workers {
        worker.freeze().await;
    }
    for _ in 0..entries {
        pipeline.xadd(&PAID).await;
    }
    pipeline.xadd(&POISON).await;
    for group in groups {
        eventually(SOON, "the stopped worker was handed entries", async || {
            let pending = pipeline.pending(group).await;
            (!pending.is_empty()).then_some(()).ok_or("nothing is pending")
        })
        .await;
    }
}

#[tokio::test]
async fn peers_settle_what_a_killed_worker_was_handed_and_analytics_counts_it_once() {
    let mut pipeline = pipeline().await;
    let mut workers = [
        pipeline.start_named(Role::Notifications, &["doomed"]),
        pipeline.start_named(Role::Analytics, &["doomed"]),
    ];
    for worker in &mut workers {
        worker.ready().await;
    }
    let [notifications, analytics] = &workers;
    strand(&pipeline, &[notifications, analytics], &["notifications", "analytics"], 20).await;
    for worker in &mut workers {
        worker.kill().await;
    }

    let mut notifications = pipeline.start_named(Role::Notifications, &["peer"]);
    let mut analytics = pipeline.start_named(Role::Analytics, &["peer"]);
    notifications.ready().await;
    analytics.ready().await;
    pipeline.settled().await;

    let summary = pipeline.analytics("/v1/analytics/summary").await;
    assert_eq!(summary["revenue"], "25.00", "each counted once");
    assert_eq!(summary["by_type"]["order.paid"]["count"], 20);
    for (group, worker) in [("notifications", &notifications), ("analytics", &analytics)] {
        let letters = pipeline.dead_letters(group).await;
        let claimed = worker.metric(&format!("worker_claims_total{{group=\"{group}\"}}")).await;
        assert!(claimed >= 1.0, "{group}: the peer claimed");
        assert_eq!(letters.len(), 1);
        // Only an entry that the dead worker was handed comes to its second delivery here.
        assert!(["1", "2"].contains(&letters[0]["_dl_deliveries"].as_str()), "{:?}", letters[0]);
    }
}

#[tokio::test]
async fn a_claimed_entry_is_on_its_second_delivery() {
    let mut pipeline = pipeline().await;
    let mut doomed = pipeline.start_named(Role::Notifications, &["doomed"]);
    doomed.ready().await;
    strand(&pipeline, &[&doomed], &["notifications"], 0).await;
    let handed = pipeline.pending("notifications").await;
    assert_eq!((handed.len(), handed[0].1.as_str(), handed[0].3), (1, "doomed", 1));
    doomed.kill().await;
    let killed = std::time::Instant::now();

    let mut peer = pipeline.start_named(Role::Notifications, &["peer"]);
    peer.ready().await;
    let letter = eventually(SOON, "the peer settled the poison entry", async || {
        pipeline.dead_letters("notifications").await.pop()
    })
    .await;
    assert_eq!(letter["_dl_deliveries"], "2");
    assert_eq!(letter["_dl_consumer"], "peer");
    // claim_min_idle (1 s) and two ticks (300 ms and jitter), and what starting the peer took.
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
}

#[tokio::test]
async fn a_worker_restarted_under_its_old_name_takes_its_own_entries_first_and_at_once() {
    let mut pipeline = pipeline().await;
    // Nobody else may be the one to recover.
    pipeline.set("ORDERFLOW__WORKER__CLAIM_MIN_IDLE", "10m");
    let mut worker = pipeline.start_named(Role::Notifications, &["only"]);
    worker.ready().await;
    strand(&pipeline, &[&worker], &["notifications"], 0).await;
    worker.kill().await;

    let mut again = pipeline.start_named(Role::Notifications, &["only"]);
    again.ready().await;
    let letter = eventually(SOON, "its own pending entry was settled", async || {
        pipeline.dead_letters("notifications").await.pop()
    })
    .await;
    assert_eq!((letter["_dl_deliveries"].as_str(), letter["_dl_consumer"].as_str()), ("2", "only"));
    assert!(again.log().contains("taking over the name of a process that is gone"), "{}", again.log());
}

#[tokio::test]
async fn the_reaper_hands_a_dead_consumers_entries_over_and_deletes_it() {
    let mut pipeline = pipeline().await;
    let mut doomed = pipeline.start_named(Role::Notifications, &["doomed"]);
    doomed.ready().await;
    strand(&pipeline, &[&doomed], &["notifications"], 0).await;
    doomed.kill().await;
    // Only the reaper's move makes the entry claimable within this test.
    pipeline.set("ORDERFLOW__WORKER__CLAIM_MIN_IDLE", "10m");
    let mut peer = pipeline.start_named(Role::Notifications, &["peer"]);
    let mut reaper = pipeline.start(Role::Reaper);
    peer.ready().await;
    reaper.ready().await;
    let letter = eventually(SOON, "the entry was handed over and settled", async || {
        pipeline.dead_letters("notifications").await.pop()
    })
    .await;
    assert_eq!((letter["_dl_deliveries"].as_str(), letter["_dl_consumer"].as_str()), ("2", "peer"));
    eventually(SOON, "the dead consumer is deleted", async || {
        let consumers: Vec<std::collections::HashMap<String, redis::Value>> = redis::cmd("XINFO")
            .arg("CONSUMERS")
            .arg(&pipeline.stream)
            .arg("notifications")
            .query_async(&mut pipeline.connection().await)
            .await
            .unwrap();
        (consumers.len() == 1).then_some(()).ok_or(format!("{} consumers", consumers.len()))
    })
    .await;
    assert!((reaper.metric("reaper_entries_moved_total").await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn an_entry_trimmed_while_pending_is_recorded_as_lost() {
    let mut pipeline = pipeline().await;
    let mut doomed = pipeline.start_named(Role::Notifications, &["doomed"]);
    doomed.ready().await;
    strand(&pipeline, &[&doomed], &["notifications"], 0).await;
    let handed = pipeline.pending("notifications").await;
    doomed.kill().await;
    let trimmed: u64 = redis::cmd("XTRIM")
        .arg(&pipeline.stream)
        .arg("MAXLEN")
        .arg(0)
        .query_async(&mut pipeline.connection().await)
        .await
        .unwrap();
    assert_eq!(trimmed, 1);
    let mut peer = pipeline.start_named(Role::Notifications, &["peer"]);
    peer.ready().await;
    let letter =
        eventually(SOON, "the loss is recorded", async || pipeline.dead_letters("notifications").await.pop())
            .await;
    assert_eq!((letter["_dl_reason"].as_str(), &letter["_dl_id"]), ("payload_lost", &handed[0].0));
}
