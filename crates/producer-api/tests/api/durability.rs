//! `Prefer: durability=…`: events that are on a replica or on disk before they count as stored.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{RedisOptions, RedisServer};

use crate::{
    client::{Answer, Api, SLACK, batch, event, lines},
    import::Import,
};

const REPLICA: (&str, &str) = ("prefer", "durability=replica");
const FSYNC: (&str, &str) = ("prefer", "durability=fsync");
const SHORT: (&str, &str) = ("producer.durability_timeout", "1s");

fn applied(answer: &Answer) -> Option<&str> {
    answer.headers.get("preference-applied").map(|value| value.to_str().expect("text"))
}

#[tokio::test]
async fn a_replica_confirms_and_one_that_stands_still_does_not() {
    let redis = RedisServer::start().await;
    let replica = redis.start_replica().await;
    let api = Api::with(redis, &[SHORT]);
    let answer = api.post_json_with(&[REPLICA], &event("o-1")).await;
    assert_eq!((answer.status, applied(&answer)), (201, Some("durability=replica")), "{answer:?}");
    assert_eq!(api.post_json_with(&[REPLICA], &batch("b", 1_000)).await.ids().len(), 1_000);

    replica.pause();
    let keyed = [REPLICA, ("idempotency-key", "k")];
    let begun = Instant::now();
    let late = api.post_json_with(&keyed, &event("o-2")).await;
    late.is_problem(504, "/problems/durability-not-confirmed");
    assert!(begun.elapsed() < Duration::from_secs(1) + SLACK);
    assert_eq!((&late.body["stored"], applied(&late)), (&json!("yes"), None));
    let path = format!("/v1/events/{}", late.body["id"].as_str().unwrap());
    assert_eq!(api.get(&path).await.body["fields"]["order_id"], "o-2");
    let many = api.post_json_with(&[REPLICA], &batch("c", 3)).await;
    many.is_problem(504, "/problems/durability-not-confirmed");
    assert_eq!(many.body["ids"].as_array().unwrap().len(), 3);
    // Who waits for nothing is not held up, and a replay is not confirmed by itself.
    assert_eq!(api.post(&event("o-3")).await.status, 201);
    api.post_json_with(&keyed, &event("o-2")).await.is_problem(504, "/problems/durability-not-confirmed");
    let weaker = [("prefer", "durability=none"), ("idempotency-key", "k")];
    let weaker = api.post_json_with(&weaker, &event("o-2")).await;
    assert_eq!((weaker.status, weaker.is_replay()), (201, true));

    replica.resume();
    let again = api.post_json_with(&keyed, &event("o-2")).await;
    assert_eq!((again.status, again.is_replay(), &again.body["id"]), (201, true, &late.body["id"]));
    assert_eq!(applied(&again), Some("durability=replica"));
    assert_eq!(api.stored().await.len(), 1 + 1_000 + 1 + 3 + 1);
    let series = "producer_durability_total{durability=\"replica\",outcome=\"not_confirmed\"}";
    assert_eq!(api.metric(series).await as u64, 3);
}

#[tokio::test]
async fn without_a_replica_nothing_is_written() {
    let api = Api::start().await;
    for body in [event("o"), batch("b", 3)] {
        let answer = api.post_json_with(&[REPLICA], &body).await;
        answer.is_problem(422, "/problems/durability-unavailable");
        assert_eq!(answer.body["stored"], "no");
        assert!(answer.body["detail"].as_str().unwrap().contains("0 replicas are connected, 1 are needed"));
    }
    assert!(api.stored().await.is_empty());
    // No fault of ours.
    let failed = "producer_events_total{outcome=\"failed\",type=\"order.paid\"}";
    assert_eq!(api.metric(failed).await as u64, 0);
}

#[tokio::test]
async fn a_configured_durability_holds_for_everybody_who_asks_for_none() {
    let api = Api::with(RedisServer::start().await, &[("producer.durability", "replica")]);
    api.post(&event("o")).await.is_problem(422, "/problems/durability-unavailable");
    let answer = api.post_json_with(&[("prefer", "durability=none")], &event("o")).await;
    assert_eq!((answer.status, applied(&answer)), (201, Some("durability=none")));
    let unknown = api.post_json_with(&[("prefer", "durability=disk")], &event("o")).await;
    unknown.is_problem(400, "/problems/invalid-header");
    assert_eq!(api.stored_orders().await, ["o"]);
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_503_within_the_deadline() {
    let redis = RedisServer::start().await;
    let replica = redis.start_replica().await;
    // Whichever writer takes the second event: one that is connected waits for a reply, another for a connection.
    let settings = [
        ("producer.request_deadline", "3s"),
        ("redis.response_timeout", "300ms"),
        ("redis.connect_timeout", "300ms"),
    ];
    let api = Api::with(redis, &settings);
    assert_eq!(api.post_json_with(&[REPLICA], &event("o-1")).await.status, 201);
    api.redis.pause();
    let begun = Instant::now();
    let answer = api.post_json_with(&[REPLICA], &event("o-2")).await;
    assert!(begun.elapsed() < Duration::from_secs(3) + SLACK);
    answer.is_problem(503, "/problems/redis-unavailable");
    assert_eq!(answer.body["stored"], "no", "it was not even asked whether it can");
    api.redis.resume();
    drop(replica);
}

#[tokio::test]
async fn it_holds_for_every_line() {
    let redis = RedisServer::start().await;
    let replica = redis.start_replica().await;
    let api = Api::with(redis, &[SHORT]);
    let results = async |name: &str| {
        let mut import = Import::with(&api, "prefer: durability=replica\r\n").await;
        import.send(lines(name, 3)).await;
        import.end().await;
        import.results().await
    };
    let confirmed = results("a").await;
    assert!(confirmed.len() == 3 && confirmed.iter().all(|result| result["id"].is_string()), "{confirmed:?}");
    replica.pause();
    for late in results("b").await {
        assert_eq!((&late["problem"]["status"], &late["problem"]["stored"]), (&json!(504), &json!("yes")));
    }
    replica.resume();
    assert_eq!(api.stored().await.len(), 6);
}

#[expect(clippy::print_stderr, reason = "who runs the tests is told what was not tried")]
async fn newer(appendonly: &str, fsync: &str) -> Option<Api> {
    let Some(program) = RedisOptions::newer_program() else {
        eprintln!("SKIPPED: no redis-server-8 in PATH and no REDIS_SERVER_8_BIN");
        return None;
    };
    let options = RedisServer::builder().program(program);
    let options = options.arg("--appendonly", [appendonly]).arg("--appendfsync", [fsync]);
    Some(Api::with(options.start().await, &[]))
}

#[tokio::test]
async fn a_synced_file_confirms() {
    for fsync in ["always", "everysec"] {
        let Some(api) = newer("yes", fsync).await else { return };
        let answer = api.post_json_with(&[FSYNC], &event("o")).await;
        assert_eq!((answer.status, applied(&answer)), (201, Some("durability=fsync")), "{fsync} {answer:?}");
        assert_eq!(api.post_json_with(&[FSYNC], &batch("b", 500)).await.ids().len(), 500);
    }
}

#[tokio::test]
async fn without_a_file_or_the_command_fsync_is_422() {
    if let Some(api) = newer("no", "everysec").await {
        let answer = api.post_json_with(&[FSYNC], &event("o")).await;
        answer.is_problem(422, "/problems/durability-unavailable");
        assert!(answer.body["detail"].as_str().unwrap().contains("append-only file is off"), "{answer:?}");
        assert!(api.stored().await.is_empty());
    }
    let api = Api::start().await;
    let known: Vec<redis::Value> = api.redis("COMMAND INFO waitaof").await;
    if matches!(known[0], redis::Value::Nil) {
        let answer = api.post_json_with(&[FSYNC], &event("o")).await;
        answer.is_problem(422, "/problems/durability-unavailable");
        assert!(answer.body["detail"].as_str().unwrap().contains("does not know WAITAOF"), "{answer:?}");
    }
}
