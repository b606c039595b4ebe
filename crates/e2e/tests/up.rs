//! `orderflow up`: one command, the printed curl, both groups, a clean end.

use std::time::{Duration, Instant};

use e2e::Up;
use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::eventually;

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_printed_curl_works_both_groups_process_it_and_everything_stops() {
    let up = Up::start(&[]).await;
    let answer: Value = serde_json::from_str(&up.run_printed(0).await).unwrap();
    assert_eq!(answer["stream"], "events:orders");
    let posted = Instant::now();
    eventually(SOON, "the event is counted", async || {
        let summary: Value = serde_json::from_str(&up.run_printed(1).await).unwrap();
        (summary["revenue"] == "49.50").then_some(()).ok_or(summary.to_string())
    })
    .await;
    assert!(posted.elapsed() < Duration::from_secs(1), "within a second, not {:?}", posted.elapsed());
    eventually(SOON, "nothing is pending", async || {
        let groups: Value = serde_json::from_str(&up.orderflow(&["groups", "--json"]).await).unwrap();
        let rows = groups.as_array().cloned().unwrap_or_default();
        let settled = rows.iter().all(|row| row["pending"] == 0 && row["lag"] == 0);
        (rows.len() == 2 && settled).then_some(()).ok_or(groups.to_string())
    })
    .await;
    let data = up.directory.path().join(".orderflow");
    assert!(data.exists());
    assert_eq!(up.stop(Signal::SIGINT).await.code(), Some(0));
}

#[tokio::test]
async fn a_file_of_real_orders_is_produced_exactly() {
    let up = Up::start(&[]).await;
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/sample/orders.ndjson");
    up.orderflow(&["produce", "--file", sample]).await;
    eventually(SOON, "every event is counted", async || {
        let summary: Value = serde_json::from_str(&up.run_printed(1).await).unwrap();
        let exact =
            summary["events"] == 1_000 && summary["revenue"] == "15550.56" && summary["customers"] == 159;
        exact.then_some(()).ok_or(summary.to_string())
    })
    .await;
    assert_eq!(up.stop(Signal::SIGTERM).await.code(), Some(0));
}

#[tokio::test]
async fn the_demo_has_the_guides_consumers() {
    let up = Up::start(&["--demo"]).await;
    let mut connection = redis::Client::open(format!("redis://127.0.0.1:{}/", up.redis_port))
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    for (group, expected) in
        [("notifications", vec!["worker-a", "worker-b"]), ("analytics", vec!["worker-c"])]
    {
        let consumers: Vec<std::collections::HashMap<String, redis::Value>> = redis::cmd("XINFO")
            .arg("CONSUMERS")
            .arg("demo:events:orders")
            .arg(group)
            .query_async(&mut connection)
            .await
            .unwrap();
        let mut names: Vec<String> = consumers
            .iter()
            .map(|consumer| redis::from_redis_value_ref(&consumer["name"]).unwrap())
            .collect();
        names.sort();
        assert_eq!(names, expected, "consumers are listed before their first delivery");
    }
    assert_eq!(up.stop(Signal::SIGINT).await.code(), Some(0));
}
