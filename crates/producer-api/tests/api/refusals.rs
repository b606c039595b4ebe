//! Requests that are the client's mistake: nothing is written, and the answer says why.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::RedisServer;

use crate::client::{Api, batch, event};

#[tokio::test]
async fn malformed_json_is_400_with_its_place() {
    let api = Api::start().await;
    let answer = api.post_text("application/json", "{\n  \"type\": }").await;
    answer.is_problem(400, "/problems/malformed-json");
    assert_eq!(answer.body["line"], 2);
    for body in ["", "{", "[1,", "{}x"] {
        api.post_text("application/json", body).await.is_problem(400, "/problems/malformed-json");
    }
    api.post_text("application/json", b"\"\xff\"".to_vec()).await.is_problem(400, "/problems/malformed-json");
}

#[tokio::test]
async fn every_bad_index_and_field_is_named_and_nothing_is_written() {
    let api = Api::start().await;
    let body = json!([
        event("good"),
        {"type": "order.lost", "order_id": "", "customer": "c", "amount": "1.234", "_id": "x", "tags": []},
        "text",
        {},
    ]);
    let answer = api.post(&body).await;
    answer.is_problem(422, "/problems/invalid-event");
    let errors = answer.body["errors"].as_array().unwrap();
    let mut places: Vec<(u64, &str)> =
        errors.iter().map(|it| (it["index"].as_u64().unwrap(), it["field"].as_str().unwrap())).collect();
    places.sort_unstable();
    let expected = [
        (1, "_id"),
        (1, "amount"),
        (1, "order_id"),
        (1, "tags"),
        (1, "type"),
        (2, ""),
        (3, "amount"),
        (3, "customer"),
        (3, "order_id"),
        (3, "type"),
    ];
    assert_eq!(places, expected);
    assert!(errors.iter().all(|it| it["message"].as_str().is_some_and(|text| !text.is_empty())));
    assert_eq!(api.redis::<usize>(&format!("EXISTS {}", api.stream)).await, 0);
}

#[tokio::test]
async fn bodies_of_the_wrong_shape_are_422() {
    let api = Api::start().await;
    let mut single = event("o");
    single["amount"] = Value::Null;
    let answer = api.post(&single).await;
    answer.is_problem(422, "/problems/invalid-event");
    assert_eq!(answer.body["errors"][0]["index"], 0);
    api.post(&json!([])).await.is_problem(422, "/problems/empty-batch");
    api.post(&json!("text")).await.is_problem(422, "/problems/invalid-body");
    api.post(&json!(7)).await.is_problem(422, "/problems/invalid-body");
    api.post(&batch("o", 1_001)).await.is_problem(422, "/problems/batch-too-large");
}

#[tokio::test]
async fn other_media_types_are_415() {
    let api = Api::start().await;
    for content_type in ["text/plain", "application/ndjson", "application/x-www-form-urlencoded"] {
        let answer = api.post_text(content_type, event("o").to_string()).await;
        answer.is_problem(415, "/problems/unsupported-media-type");
    }
    let answer = api.post_text("application/json; charset=utf-8", event("o").to_string()).await;
    assert_eq!(answer.status, 201);
}

#[tokio::test]
async fn bodies_over_the_limit_are_413_announced_or_not() {
    let api = Api::with(RedisServer::start().await, &[("producer.body_limit_bytes", "1000")]);
    let mut large = event("o");
    large["note"] = json!("x".repeat(950));
    let answer = api.post(&large).await;
    answer.is_problem(413, "/problems/body-too-large");
    assert_eq!(answer.body["limit_bytes"], 1000);

    // The body is endless as far as the server can tell: the limit holds while it arrives.
    let head = "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let chunk = format!("2bc\r\n{}\r\n", " ".repeat(0x2bc));
    let (status, body) = api
        .raw(&format!("{head}transfer-encoding: chunked\r\nconnection: close\r\n\r\n{chunk}{chunk}"))
        .await;
    assert_eq!(status, 413, "{body}");
    assert!(body.contains("/problems/body-too-large"), "{body}");

    let (status, body) = api
        .raw(&format!("{head}content-length: 1001\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n"))
        .await;
    assert_eq!(status, 413, "before the body was asked for: {body}");
    assert_eq!(api.post(&event("o")).await.status, 201);
}

#[tokio::test]
async fn a_body_of_a_megabyte_is_taken() {
    let api = Api::start().await;
    let mut large = event("o");
    large["note"] = json!("x".repeat(1024 * 1024 - 200));
    assert_eq!(api.post(&large).await.status, 201);
    large["note"] = json!("x".repeat(1024 * 1024));
    api.post(&large).await.is_problem(413, "/problems/body-too-large");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408_at_the_deadline() {
    let api = Api::with(RedisServer::start().await, &[("producer.request_deadline", "200ms")]);
    let request = "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                   connection: close\r\ncontent-length: 50\r\n\r\n{";
    let (status, body) = api.raw(request).await;
    assert_eq!(status, 408, "{body}");
    assert!(body.contains("/problems/request-timeout"), "{body}");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let api = Api::start().await;
    for path in ["/", "/v1", "/v1/events/", "/v1/events/1-0/x", "/metrics"] {
        api.get(path).await.is_problem(404, "/problems/not-found");
    }
    let answer = api.send(Method::DELETE, "/v1/events").await;
    answer.is_problem(405, "/problems/method-not-allowed");
    let allow = answer.headers["allow"].to_str().unwrap();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    api.send(Method::PUT, "/v1/events/1-0").await.is_problem(405, "/problems/method-not-allowed");
}
