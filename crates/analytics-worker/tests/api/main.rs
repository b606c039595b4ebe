//! The real binary against a real Redis: what the query API answers, refuses and reads.

mod auth;
mod worker;

use serde_json::{Value, json};
use testkit::eventually;
use worker::{SOON, Worker, now_ms};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// 1997-01-01.
const DAY: i64 = 852_076_800_000;

#[tokio::test]
async fn a_request_cannot_ask_for_all_of_time() {
    let worker = Worker::start().await;
    let (parameter, message) = worker.refused("/timeseries?from=0&to=47000000000000&step=366d").await;
    assert_eq!(parameter, "from");
    assert!(message.contains("at most 3660 days"), "{message}");
    let days = |days: i64, step: &str| format!("from={DAY}&to={}&step={step}", DAY + days * DAY_MS);
    let (_, message) = worker.refused(&format!("/timeseries?{}", days(32, "1h"))).await;
    assert!(message.contains("at most 31 days"), "{message}");
    assert_eq!(worker.values(&days(31, "1h")).await.len(), 31 * 24);
    assert_eq!(worker.values(&days(3_640, "28d")).await.len(), 131, "more than one HMGET");
}

#[tokio::test]
async fn queries_have_a_connection_of_their_own() {
    let worker = Worker::start().await;
    worker.get("/customers/top").await;
    let last_was = |clients: &[(String, String)], commands: &[&str]| {
        clients.iter().find(|(_, cmd)| commands.contains(&cmd.as_str())).map(|(id, _)| id.clone())
    };
    let asked = last_was(&worker.clients().await, &["zrevrange"]).expect("the query's connection");
    eventually(SOON, "the worker's own commands go elsewhere", async || {
        let clients = worker.clients().await;
        let probe = last_was(&clients, &["ping"]);
        if probe.is_some_and(|id| id != asked) { Ok(()) } else { Err(format!("{clients:?}")) }
    })
    .await;
    assert_eq!(last_was(&worker.clients().await, &["zrevrange"]), Some(asked), "used by nothing since");
}

#[tokio::test]
async fn what_is_not_usable_is_named_with_what_is() {
    let worker = Worker::start().await;
    for (path, parameter, allowed) in [
        ("/summary?windo=1h", "windo", "is not known; allowed: window"),
        ("/summary?window=1h&window=2h", "window", "more than once; allowed once: window"),
        ("/summary?window=31d", "window", "from 1m to 30d"),
        ("/summary?window=%ff", "window", "from 1m to 30d"),
        ("/customers/top?n=0", "n", "1 to 1000"),
        ("/timeseries?metric=profit", "metric", "revenue, events, order.placed"),
        ("/timeseries?step=1h&until=5", "until", "metric, from, to, step"),
        ("/orders/%ff", "order_id", "allowed: UTF-8"),
        ("/orders/o-1?n=3", "n", "allowed: none"),
    ] {
        let (named, message) = worker.refused(path).await;
        assert_eq!(named, parameter, "{path}");
        assert!(message.contains(allowed), "{path}: {message}");
    }
    let (status, content_type, body) = worker.ask("/orders/unknown").await;
    assert_eq!((status, content_type.as_str()), (404, "application/problem+json"));
    assert_eq!(body["type"], "/problems/unknown-order");
}

#[tokio::test]
async fn a_window_counts_customers_last_seen_in_it_not_after_now() {
    let mut worker = Worker::start().await;
    let now = now_ms();
    worker.paid(&[("c-now", now), ("c-ahead", now + 5 * HOUR_MS), ("c-before", now - 50 * HOUR_MS)]).await;
    let hour = worker.get("/summary?window=1h").await;
    assert_eq!((&hour["events"], &hour["customers"]), (&json!(1), &json!(1)));
    let days = worker.get("/summary?window=3d").await;
    assert_eq!((&days["revenue"], &days["customers"]), (&json!("5.00"), &json!(2)));
    worker.paid(&[("c-now", now + 5 * HOUR_MS)]).await;
    let hour = worker.get("/summary?window=1h").await;
    assert_eq!(
        (&hour["events"], &hour["customers"]),
        (&json!(1), &json!(0)),
        "c-now is last seen ahead of now"
    );
}

#[tokio::test]
async fn a_series_of_minutes_that_are_gone_is_null_not_zero() {
    let mut worker = Worker::start().await;
    worker.paid(&[("c-1", DAY + HOUR_MS), ("c-2", DAY + 3 * DAY_MS)]).await;
    let half_days = format!("metric=events&from={DAY}&to={}&step=12h", DAY + 4 * DAY_MS);
    let known = worker.values(&half_days).await;
    assert_eq!(known, [1, 0, 0, 0, 0, 0, 1, 0].map(Value::from));

    worker.expire_minutes().await;
    let gone = [json!(null), json!(null), json!(0), json!(0), json!(0), json!(0), json!(null), json!(null)];
    assert_eq!(worker.values(&half_days).await, gone, "nothing happened on the days between");
    worker.paid(&[("c-3", DAY + 2 * HOUR_MS)]).await;
    assert_eq!(worker.values(&half_days).await, gone, "a late event does not bring the others back");
    let long_steps = format!("from={DAY}&to={}&step=36h", DAY + 3 * DAY_MS);
    assert!(worker.values(&long_steps).await.contains(&json!(null)));
    let days = format!("metric=events&from={DAY}&to={}&step=1d", DAY + 4 * DAY_MS);
    assert_eq!(worker.values(&days).await, [2, 0, 0, 1].map(Value::from), "days are kept for ever");
}

#[tokio::test]
async fn a_window_is_null_only_if_it_ends_in_a_day_that_is_gone() {
    let mut worker = Worker::start().await;
    let now = now_ms();
    worker.paid(&[("c-1", now - 36 * HOUR_MS)]).await;
    worker.expire_minutes().await;
    // The event's day is whole within the last three, as is any that ended at least 12 hours ago.
    let days = worker.get("/summary?window=3d").await;
    assert_eq!((&days["revenue"], &days["events"]), (&json!("2.50"), &json!(1)));
    assert_eq!(days["by_type"]["order.paid"], json!({ "count": 1, "amount": "2.50" }));

    worker.paid(&[("c-2", now)]).await;
    worker.expire_minutes().await;
    let hour = worker.get("/summary?window=1h").await;
    assert_eq!(
        (&hour["revenue"], &hour["events"], &hour["by_type"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(hour["customers"], 1);
}
