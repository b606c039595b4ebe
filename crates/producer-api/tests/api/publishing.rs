//! Events that are stored: answers, entries, order, metrics.

use futures_util::future::join_all;
use serde_json::json;

use crate::client::{Api, batch, event, orders};

#[tokio::test]
async fn one_event_is_201_with_its_place() {
    let api = Api::start().await;
    let answer = api
        .post(&json!({
            "type": "order.placed", "order_id": "o-1", "customer": "ærø", "amount": 49.5, "ts_ms": 7,
            "express": true, "note": "a \"b\"",
        }))
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let id = answer.body["id"].as_str().unwrap();
    assert_eq!(answer.body, json!({"id": id, "stream": api.stream}));
    assert_eq!(answer.headers["location"], format!("/v1/events/{id}"));
    assert_eq!(answer.headers["content-type"], "application/json");

    let entries: Vec<(String, Vec<String>)> = api.redis(&format!("XRANGE {} - +", api.stream)).await;
    let fields = [
        "type",
        "order.placed",
        "order_id",
        "o-1",
        "customer",
        "ærø",
        "amount",
        "49.50",
        "ts_ms",
        "7",
        "express",
        "true",
        "note",
        "a \"b\"",
    ]
    .map(str::to_owned);
    assert_eq!(entries, [(id.to_owned(), fields.to_vec())]);

    let read = api.get(&format!("/v1/events/{id}")).await;
    assert_eq!((read.status, &read.body["fields"]["note"]), (200, &json!("a \"b\"")));
}

#[tokio::test]
async fn a_batch_is_201_with_ids_in_the_order_sent() {
    let api = Api::start().await;
    let answer = api.post(&batch("o", 1_000)).await;
    assert_eq!((answer.status, &answer.body["accepted"]), (201, &json!(1_000)));
    let expected: Vec<_> = answer.ids().into_iter().zip(orders("o", 1_000)).collect();
    assert_eq!(api.stored().await, expected);
}

#[tokio::test]
async fn batches_sent_at_the_same_time_each_keep_their_order() {
    let settings = [("producer.batch_max", "7"), ("producer.pipelines_in_flight", "4")];
    let api = Api::with(testkit::RedisServer::start().await, &settings);
    let bodies: Vec<_> = (0..8).map(|n| batch(&format!("b{n}"), 100)).collect();
    let answers = join_all(bodies.iter().map(|body| api.post(body))).await;
    let stored = api.stored().await;
    assert_eq!(stored.len(), 800);
    for (n, answer) in answers.iter().enumerate() {
        let own: Vec<_> =
            stored.iter().filter(|(_, order)| order.starts_with(&format!("b{n}-"))).cloned().collect();
        let expected: Vec<_> = answer.ids().into_iter().zip(orders(&format!("b{n}"), 100)).collect();
        assert_eq!(own, expected);
    }
}

#[tokio::test]
async fn events_are_counted_by_type_and_requests_by_route() {
    let api = Api::start().await;
    assert_eq!(api.post(&event("o-1")).await.status, 201);
    assert_eq!(api.post(&batch("o", 3)).await.status, 201);
    assert_eq!(api.post(&json!([event("o"), {"type": "order.lost"}, 7])).await.status, 422);
    let series = "producer_events_total{outcome=\"stored\",type=\"order.paid\"}";
    assert_eq!(api.metric(series).await as u64, 4);
    let series = "producer_events_total{outcome=\"rejected\",type=\"other\"}";
    assert_eq!(api.metric(series).await as u64, 2);
    let count = |class| {
        format!("producer_request_duration_seconds_count{{route=\"POST /v1/events\",status=\"{class}\"}}")
    };
    assert_eq!(api.metric(&count("2xx")).await as u64, 2);
    assert_eq!(api.metric(&count("4xx")).await as u64, 1);
}

#[tokio::test]
async fn configured_types_replace_the_four() {
    let settings = [("stream.event_types", "order.refunded")];
    let api = Api::with(testkit::RedisServer::start().await, &settings);
    let mut refunded = event("o-1");
    refunded["type"] = json!("order.refunded");
    assert_eq!(api.post(&refunded).await.status, 201);
    api.post(&event("o-1")).await.is_problem(422, "/problems/invalid-event");
    let series = "producer_events_total{outcome=\"stored\",type=\"order.refunded\"}";
    assert_eq!(api.metric(series).await as u64, 1);
}
