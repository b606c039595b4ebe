//! Redis away, stuck or refusing: 503 in time, the truth about what is stored, recovery by itself.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::{RedisServer, eventually};

use crate::{
    client::{Api, SLACK, batch, event},
    process::HANG,
};

/// Without a hard cap, which would answer 429 before the server is full.
const UNCAPPED: [(&str, &str); 1] = [("retention.policy", "maxlen")];

async fn recovers(api: &Api) {
    eventually(HANG, "events are stored again", async || {
        let answer = api.post(&event("after")).await;
        if answer.status == 201 { Ok(()) } else { Err(answer.body) }
    })
    .await;
}

#[tokio::test]
async fn without_redis_the_port_listens_and_answers_503() {
    let mut redis = RedisServer::start().await;
    redis.kill();
    let mut api = Api::listening(redis, &[]);
    let begun = Instant::now();
    for body in [event("o"), batch("o", 500)] {
        let answer = api.post(&body).await;
        answer.is_problem(503, "/problems/redis-unavailable");
        assert_eq!(answer.body["stored"], "no", "nobody was there to store it");
    }
    for path in ["/v1/events", "/v1/events/1-0"] {
        let answer = api.get(path).await;
        answer.is_problem(503, "/problems/redis-unavailable");
        assert_eq!(answer.body.get("stored"), None);
    }
    assert!(begun.elapsed() < Duration::from_secs(5) + SLACK);
    assert!(!api.ready().await);
    api.post(&json!({})).await.is_problem(422, "/problems/invalid-event");

    api.redis.restart().await;
    recovers(&api).await;
    eventually(HANG, "it is ready", async || api.ready().await.then_some(())).await;
}

#[tokio::test]
async fn redis_killed_under_load_loses_nothing_that_was_answered_201() {
    let redis = RedisServer::builder().append_only(true).start().await;
    let mut api = Api::with(redis, &[]);
    let done = AtomicBool::new(false);
    let (stored, refused, unknown) = {
        let load = join_all((0..16).map(|client| {
            let (api, done) = (&api, &done);
            async move {
                let mut answers = Vec::new();
                for n in 0.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let order = format!("c{client}-{n}");
                    let begun = Instant::now();
                    let answer = api.post(&event(&order)).await;
                    assert!(begun.elapsed() < Duration::from_secs(5) + SLACK, "no answer in time");
                    answers.push((order, answer));
                }
                answers
            }
        }));
        let crash = async {
            eventually(HANG, "some events are stored", async || {
                (api.metric(STORED).await > 200.0).then_some(())
            })
            .await;
            let pid = nix::unistd::Pid::from_raw(api.redis.pid().try_into().unwrap());
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
            eventually(HANG, "clients are told", async || {
                (api.metric(FAILED).await + api.metric(UNKNOWN).await > 50.0).then_some(())
            })
            .await;
            done.store(true, Ordering::Relaxed);
        };
        let (answers, ()) = tokio::join!(load, crash);
        sort(answers.into_iter().flatten())
    };
    assert!(stored.len() > 200 && !refused.is_empty(), "{} {}", stored.len(), refused.len());
    api.redis.restart().await;
    recovers(&api).await;
    let in_stream: HashSet<String> = api.stored_orders().await.into_iter().collect();
    assert!(stored.iter().all(|order| in_stream.contains(order)), "an event answered 201 is missing");
    assert!(!refused.iter().any(|order| in_stream.contains(order)), "an event answered `no` is there");
    let extra: Vec<_> = in_stream
        .iter()
        .filter(|order| !stored.contains(*order) && !unknown.contains(*order) && *order != "after")
        .collect();
    assert_eq!(extra, Vec::<&String>::new());
}

const STORED: &str = "producer_events_total{outcome=\"stored\",type=\"order.paid\"}";
const FAILED: &str = "producer_events_total{outcome=\"failed\",type=\"order.paid\"}";
const UNKNOWN: &str = "producer_events_total{outcome=\"unknown\",type=\"order.paid\"}";

/// The orders that were stored, were not, and may have been.
fn sort(
    answers: impl Iterator<Item = (String, crate::client::Answer)>,
) -> (HashSet<String>, HashSet<String>, HashSet<String>) {
    let (mut stored, mut refused, mut unknown) = (HashSet::new(), HashSet::new(), HashSet::new());
    for (order, answer) in answers {
        match (answer.status, answer.body["stored"].as_str()) {
            (201, _) => stored.insert(order),
            (503, Some("no")) => refused.insert(order),
            (503, Some("unknown")) => unknown.insert(order),
            _ => panic!("{answer:?}"),
        };
    }
    (stored, refused, unknown)
}

#[tokio::test]
async fn at_the_deadline_the_answer_tells_sent_from_unsent() {
    let settings = [("producer.request_deadline", "500ms"), ("producer.pipelines_in_flight", "1")];
    let api = Api::with(RedisServer::start().await, &settings);
    api.pause_writes().await;

    let begun = Instant::now();
    let sent = api.post(&event("sent")).await;
    assert!(begun.elapsed() < Duration::from_millis(500) + SLACK);
    sent.is_problem(503, "/problems/deadline-exceeded");
    assert_eq!(sent.body["stored"], "unknown");
    // The only pipeline is still in flight.
    let unsent = api.post(&batch("unsent", 3)).await;
    unsent.is_problem(503, "/problems/deadline-exceeded");
    assert_eq!(unsent.body["stored"], "no");

    api.unpause_writes().await;
    recovers(&api).await;
    let orders = api.stored_orders().await;
    assert_eq!(orders, ["sent", "after"], "what was told to be `no` must not come later");
}

#[tokio::test]
async fn a_batch_that_was_sent_in_part_at_the_deadline_says_which() {
    let settings = [("producer.request_deadline", "300ms"), ("producer.batch_max", "2")];
    let api = Api::with(RedisServer::start().await, &settings);
    api.pause_writes().await;
    let answer = api.post(&batch("o", 4)).await;
    answer.is_problem(503, "/problems/deadline-exceeded");
    assert_eq!(answer.body["stored"], "unknown");
    let results = answer.body["results"].as_array().unwrap();
    let stored: Vec<_> = results.iter().map(|result| result["stored"].as_str().unwrap()).collect();
    assert_eq!(stored, ["unknown", "unknown", "no", "no"]);
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_unknown_before_the_deadline() {
    let api = Api::with(RedisServer::start().await, &[("redis.response_timeout", "200ms")]);
    api.pause_writes().await;
    let answer = api.post(&event("o")).await;
    answer.is_problem(503, "/problems/redis-unavailable");
    assert_eq!(answer.body["stored"], "unknown");
    api.unpause_writes().await;
    recovers(&api).await;
}

#[tokio::test]
async fn out_of_memory_is_503_not_stored_and_passes() {
    let api = Api::with(RedisServer::start().await, &UNCAPPED);
    assert_eq!(api.post(&event("before")).await.status, 201);
    let () = api.redis("CONFIG SET maxmemory 1").await;
    for body in [event("refused"), batch("refused", 3)] {
        let answer = api.post(&body).await;
        answer.is_problem(503, "/problems/redis-refused");
        assert_eq!(answer.body["stored"], "no");
        assert_eq!(answer.body["detail"], "Redis is out of memory");
    }
    assert_eq!(api.get("/v1/events").await.status, 200, "reading goes on");
    let () = api.redis("CONFIG SET maxmemory 0").await;
    recovers(&api).await;
    assert_eq!(api.stored_orders().await, ["before", "after"]);
    assert!(api.metric("producer_redis_errors_total{kind=\"out_of_memory\"}").await >= 2.0);
}

#[tokio::test]
async fn a_batch_that_fails_part_way_is_207_with_each_index() {
    let api = Api::with(RedisServer::start().await, &[("producer.batch_max", "50"), UNCAPPED[0]]);
    let mut body = batch("o", 1_000);
    for event in body.as_array_mut().unwrap() {
        event["note"] = json!("x".repeat(800));
    }
    // Warm, so that connections and buffers have their memory.
    assert_eq!(api.post(&body).await.status, 201);
    let info: String = api.redis("INFO memory").await;
    let used: u64 =
        info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap();
    let () = api.redis(&format!("CONFIG SET maxmemory {}", used + 400_000)).await;

    let answer = api.post(&body).await;
    assert_eq!(answer.status, 207, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/json");
    let results = answer.body["results"].as_array().unwrap();
    assert_eq!(results.len(), 1_000);
    let stored: Vec<&Value> = results.iter().filter(|result| result["stored"] == "yes").collect();
    assert!(results.iter().enumerate().all(|(at, result)| result["index"] == at));
    assert_eq!(answer.body["accepted"], stored.len());
    assert_eq!(answer.body["failed"], 1_000 - stored.len());
    assert_eq!(api.redis::<usize>(&format!("XLEN {}", api.stream)).await, 1_000 + stored.len());
    let refused = results.iter().find(|result| result["stored"] == "no").unwrap();
    assert_eq!(refused["problem"]["type"], "/problems/redis-refused");
    assert_eq!(refused["problem"]["stored"], "no");
    for result in stored {
        let path = format!("/v1/events/{}", result["id"].as_str().unwrap());
        let index = result["index"].as_u64().unwrap();
        assert_eq!(api.get(&path).await.body["fields"]["order_id"], format!("o-{index}"));
    }
}

#[tokio::test]
async fn a_key_of_another_type_is_503_and_says_so() {
    let api = Api::start().await;
    let () = api.redis(&format!("SET {} text", api.stream)).await;
    for body in [event("o"), batch("o", 3)] {
        let answer = api.post(&body).await;
        answer.is_problem(503, "/problems/redis-refused");
        assert_eq!(answer.body["stored"], "no");
        assert!(answer.body["detail"].as_str().unwrap().contains("not a stream"));
    }
    api.get("/v1/events").await.is_problem(503, "/problems/redis-refused");
    let _: usize = api.redis(&format!("DEL {}", api.stream)).await;
    recovers(&api).await;
}

#[tokio::test]
async fn a_full_queue_is_503_at_once() {
    let settings = [
        ("producer.queue_capacity", "2"),
        ("producer.batch_max", "2"),
        ("producer.pipelines_in_flight", "1"),
    ];
    let api = Api::with(RedisServer::start().await, &settings);
    api.pause_writes().await;
    let first = batch("first", 3);
    let (first, ()) = tokio::join!(api.post(&first), async {
        // One of the three waits behind the pipeline that is held back.
        api.metric_becomes("producer_queue_events", 1.0).await;
        let begun = Instant::now();
        let answer = api.post(&batch("refused", 2)).await;
        answer.is_problem(503, "/problems/overloaded");
        assert_eq!(answer.body["stored"], "no");
        assert!(begun.elapsed() < Duration::from_secs(1));
        api.unpause_writes().await;
    });
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(api.stored_orders().await, ["first-0", "first-1", "first-2"]);
}
