//! From HTTP to both groups: exact totals, shared work, other clients, poison entries.

use std::collections::{HashMap, HashSet};

use e2e::{Pipeline, Role};
use serde_json::{Value, json};

const EXCERPT: &str = include_str!("../../../deploy/sample/orders.ndjson");

fn excerpt() -> Vec<Value> {
    EXCERPT.lines().map(|line| serde_json::from_str(line).expect("the excerpt is NDJSON")).collect()
}

#[tokio::test]
async fn real_orders_reach_both_groups_and_the_totals_are_exact_to_the_cent() {
    let mut pipeline = Pipeline::new().await;
    let roles = [Role::Producer, Role::Notifications, Role::Analytics, Role::Reaper];
    let [_producer, notifications, _analytics, reaper] = pipeline.start_all(roles).await;

    let events = excerpt();
    let mut ids = HashSet::new();
    for batch in events.chunks(25) {
        let (status, answer) = pipeline.post(json!(batch).to_string()).await;
        assert_eq!(status, 201, "{answer}");
        assert_eq!(answer["accepted"], batch.len());
        ids.extend(answer["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()));
    }
    assert_eq!(ids.len(), 1_000, "every event has an ID of its own");
    pipeline.settled().await;

    let summary = pipeline.analytics("/v1/analytics/summary").await;
    assert_eq!(summary["revenue"], "15550.56");
    assert_eq!(summary["by_type"]["order.paid"], json!({ "count": 500, "amount": "15550.56" }));
    assert_eq!(summary["by_type"]["order.placed"], json!({ "count": 500, "amount": "15550.56" }));
    assert_eq!(summary["customers"], 159);
    assert_eq!(summary["orders"]["order.paid"], 500);
    let top = pipeline.analytics("/v1/analytics/customers/top?n=2").await;
    let expected = json!([{ "customer": "c-01760", "revenue": "1123.69" }, { "customer": "c-00111", "revenue": "1107.04" }]);
    assert_eq!(top, expected);
    let order = pipeline.analytics("/v1/analytics/orders/cd-1").await;
    assert_eq!((&order["state"], &order["customer"]), (&json!("paid"), &json!("c-00004")));
    let day =
        "/v1/analytics/timeseries?metric=revenue&from=1997-01-01T00:00:00Z&to=1998-01-01T00:00:00Z&step=365d";
    assert_eq!(pipeline.analytics(day).await["points"].as_array().unwrap().len(), 2);
    let nothing_lately = pipeline.analytics("/v1/analytics/summary?window=1h").await;
    assert_eq!(nothing_lately["revenue"], "0.00", "these events happened in 1997");

    assert!(
        (notifications.metric("notifications_sent_total{channel=\"log\",outcome=\"sent\"}").await - 1_000.0)
            .abs()
            < 0.5
    );
    assert_eq!(pipeline.dead_letters("notifications").await.len(), 0);
    testkit::eventually(
        std::time::Duration::from_secs(10),
        "the reaper shows the settled groups",
        async || {
            let lag = reaper.metric("stream_group_lag{group=\"analytics\",stream=\"events:orders\"}").await;
            let known =
                reaper.metric("stream_group_lag_known{group=\"analytics\",stream=\"events:orders\"}").await;
            let length = reaper.metric("stream_length{stream=\"events:orders\"}").await;
            ((lag, known, length) == (0.0, 1.0, 1_000.0))
                .then_some(())
                .ok_or(format!("{lag} {known} {length}"))
        },
    )
    .await;
}

#[tokio::test]
async fn two_consumers_share_the_work() {
    let mut pipeline = Pipeline::new().await;
    let mut first = pipeline.start_named(Role::Notifications, &["worker-a"]);
    let mut second = pipeline.start_named(Role::Notifications, &["worker-b"]);
    first.ready().await;
    second.ready().await;
    let [_producer, _analytics] = pipeline.start_all([Role::Producer, Role::Analytics]).await;
    for batch in excerpt().chunks(10) {
        assert_eq!(pipeline.post(json!(batch).to_string()).await.0, 201);
    }
    pipeline.settled().await;
    let sent = "notifications_sent_total{channel=\"log\",outcome=\"sent\"}";
    let (first, second) = (first.metric(sent).await, second.metric(sent).await);
    assert!((first + second - 1_000.0).abs() < 0.5, "{first} + {second}");
    assert!(first > 0.0 && second > 0.0, "both took a share: {first}, {second}");
}

#[tokio::test]
async fn another_client_writes_plain_entries_and_reads_flat_maps() {
    let mut pipeline = Pipeline::new().await;
    let _services = pipeline.start_all([Role::Producer, Role::Notifications, Role::Analytics]).await;
    // The guide's own fields, in the guide's way.
    let guide = [("type", "order.paid"), ("order_id", "o-1234"), ("customer", "alice"), ("amount", "49.5")];
    pipeline.xadd(&guide).await;
    // A type of a newer release is counted, not poison.
    let newer = [("type", "order.refunded"), ("order_id", "o-1234"), ("customer", "alice"), ("amount", "1")];
    pipeline.xadd(&newer).await;
    let body = json!({
        "type": "order.placed", "order_id": "o-7", "customer": "bob", "amount": 12.5, "ts_ms": 5, "gift": true
    });
    let (status, answer) = pipeline.post(body.to_string()).await;
    assert_eq!(status, 201, "{answer}");
    pipeline.settled().await;

    let summary = pipeline.analytics("/v1/analytics/summary").await;
    assert_eq!(summary["revenue"], "49.50");
    assert_eq!(summary["by_type"]["other"]["count"], 1);
    let id = answer["id"].as_str().unwrap();
    let entries: Vec<(String, Vec<(String, String)>)> = redis::cmd("XRANGE")
        .arg(&pipeline.stream)
        .arg(id)
        .arg(id)
        .query_async(&mut pipeline.connection().await)
        .await
        .unwrap();
    let expected = [
        ("type", "order.placed"),
        ("order_id", "o-7"),
        ("customer", "bob"),
        ("amount", "12.50"),
        ("ts_ms", "5"),
        ("gift", "true"),
    ];
    let written: Vec<(&str, &str)> =
        entries[0].1.iter().map(|(field, value)| (field.as_str(), value.as_str())).collect();
    assert_eq!(written, expected);
    assert_eq!(pipeline.dead_letters("analytics").await.len(), 0);
}

#[tokio::test]
async fn a_poison_entry_is_dead_lettered_with_its_reason_and_its_neighbours_are_not() {
    let mut pipeline = Pipeline::new().await;
    let _services = pipeline.start_all([Role::Notifications, Role::Analytics]).await;
    let good = [("type", "order.paid"), ("order_id", "o-1"), ("customer", "eve"), ("amount", "1.00")];
    pipeline.xadd(&good).await;
    let bad_amount = [("type", "order.paid"), ("order_id", "o-2"), ("customer", "eve"), ("amount", "1e3")];
    let poison = pipeline.xadd(&bad_amount).await;
    let duplicate = [
        ("type", "order.paid"),
        ("order_id", "o-3"),
        ("order_id", "o-4"),
        ("customer", "eve"),
        ("amount", "1"),
    ];
    let twice = pipeline.xadd(&duplicate).await;
    pipeline.xadd(&good).await;
    pipeline.settled().await;

    for group in ["notifications", "analytics"] {
        let letters = pipeline.dead_letters(group).await;
        let by_id: HashMap<&str, &HashMap<String, String>> =
            letters.iter().map(|letter| (letter["_dl_id"].as_str(), letter)).collect();
        assert_eq!(letters.len(), 2, "{group}: {letters:?}");
        let letter = by_id[poison.as_str()];
        assert_eq!((letter["_dl_reason"].as_str(), letter["_dl_group"].as_str()), ("poison", group));
        assert_eq!((letter["_dl_deliveries"].as_str(), letter["amount"].as_str()), ("1", "1e3"));
        assert!(letter["_dl_error"].contains("exponent"), "{}", letter["_dl_error"]);
        assert!(by_id[twice.as_str()]["_dl_error"].contains("order_id"));
    }
    assert_eq!(pipeline.analytics("/v1/analytics/summary").await["by_type"]["order.paid"]["count"], 2);
}
