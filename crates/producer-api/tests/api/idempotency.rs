//! Events that are sent twice and stored once: `Idempotency-Key`, and the events' own IDs.

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::{RedisServer, eventually};

use crate::{
    client::{Answer, Api, batch, event},
    import::Import,
    process::HANG,
};

fn with_id(order: &str, id: &str) -> Value {
    let mut event = event(order);
    event["id"] = json!(id);
    event
}

#[tokio::test]
async fn the_same_event_under_the_same_key_is_answered_as_before() {
    let api = Api::start().await;
    let first = api.post_keyed("\"k-1\"", &event("o")).await;
    assert_eq!((first.status, first.is_replay()), (201, false), "{first:?}");
    // Another spelling of the key and of the body.
    let body =
        json!({"order_id": "o", "amount": 49.50, "ts_ms": "1", "type": "order.paid", "customer": "alice"});
    let again = api.post_keyed("k-1", &body).await;
    assert_eq!((again.status, again.is_replay(), &again.body), (201, true, &first.body));
    assert_eq!(again.headers["location"], first.headers["location"]);
    assert_eq!(api.stored_orders().await, ["o"]);

    let other = api.post_keyed("k-1", &event("other")).await;
    other.is_problem(409, "/problems/idempotency-conflict");
    assert_eq!((&other.body["stored"], &other.body["id"]), (&json!("no"), &first.body["id"]));
    assert_eq!(api.post_keyed("k-2", &event("other")).await.status, 201);
    assert_eq!(api.stored_orders().await, ["o", "other"]);
    let series = |outcome| format!("producer_events_total{{outcome=\"{outcome}\",type=\"order.paid\"}}");
    for (outcome, count) in [("stored", 2), ("replayed", 1), ("conflict", 1)] {
        assert_eq!(api.metric(&series(outcome)).await as u64, count, "{outcome}");
    }
}

#[tokio::test]
async fn the_time_of_receipt_is_not_part_of_the_body() {
    let api = Api::start().await;
    let mut undated = event("o");
    undated.as_object_mut().unwrap().remove("ts_ms");
    let first = api.post_keyed("k", &undated).await;
    let received = api.get(first.headers["location"].to_str().unwrap()).await.body["fields"]["ts_ms"].clone();
    // Until the clock shows another time than then.
    eventually(HANG, "a millisecond has passed", async || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        (received.as_str().unwrap() != now.to_string()).then_some(())
    })
    .await;
    let again = api.post_keyed("k", &undated).await;
    assert_eq!((again.is_replay(), &again.body), (true, &first.body));
    // A time that the producer gives is.
    api.post_keyed("k", &event("o")).await.is_problem(409, "/problems/idempotency-conflict");
}

#[tokio::test]
async fn sixty_four_requests_at_the_same_time_are_one_event() {
    let api = Api::start().await;
    let body = event("o");
    let answers = join_all((0..64).map(|_| api.post_keyed("k", &body))).await;
    let ids: HashSet<_> = answers.iter().map(|answer| answer.body["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 1);
    assert!(answers.iter().all(|answer| answer.status == 201));
    assert_eq!(answers.iter().filter(|answer| answer.is_replay()).count(), 63);
    assert_eq!(api.stored_orders().await, ["o"]);
}

#[tokio::test]
async fn an_events_own_id_is_kept_and_recognized() {
    let api = Api::start().await;
    let first = api.post(&with_id("o", "e-1")).await;
    let fields = api.get(first.headers["location"].to_str().unwrap()).await.body["fields"].clone();
    assert_eq!((&fields["_id"], fields.get("id")), (&json!("e-1"), None));
    let again = api.post(&with_id("o", "e-1")).await;
    assert_eq!((again.is_replay(), &again.body), (true, &first.body));
    api.post(&with_id("p", "e-1")).await.is_problem(409, "/problems/idempotency-conflict");

    // In a batch each by itself: one is known, one is new, one is another event.
    let mixed = api.post(&json!([with_id("o", "e-1"), with_id("q", "e-2"), with_id("r", "e-1")])).await;
    assert_eq!(mixed.status, 207, "{mixed:?}");
    let results = &mixed.body["results"];
    assert_eq!((&results[0]["id"], &results[0]["replayed"]), (&first.body["id"], &json!(true)));
    assert_eq!((&results[1]["stored"], results[1].get("replayed")), (&json!("yes"), None));
    assert_eq!((&results[2]["stored"], &results[2]["problem"]["status"]), (&json!("no"), &json!(409)));
    assert_eq!(api.stored_orders().await, ["o", "q"]);
    // Under a key of the request the events' own IDs are only kept.
    assert_eq!(api.post_keyed("k", &with_id("o", "e-1")).await.status, 201);
    assert_eq!(api.stored_orders().await, ["o", "q", "o"]);
}

#[tokio::test]
async fn a_batch_under_a_key_is_one_thing() {
    let api = Api::start().await;
    let first = api.post_keyed("k", &batch("b", 300)).await;
    let again = api.post_keyed("k", &batch("b", 300)).await;
    assert_eq!((again.status, again.is_replay(), again.ids()), (201, true, first.ids()));
    // Neither longer nor shorter, nor one event.
    for other in [batch("b", 301), batch("b", 299), event("b-0"), batch("c", 300)] {
        api.post_keyed("k", &other).await.is_problem(409, "/problems/idempotency-conflict");
    }
    assert_eq!(api.stored().await.len(), 300);
    // One of its events alone.
    let alone = api.post_keyed("k#7", &event("b-7")).await;
    assert_eq!((alone.is_replay(), alone.body["id"].as_str()), (true, Some(first.ids()[7].as_str())));
}

#[tokio::test]
async fn lines_under_a_key_have_one_each() {
    let api = Api::start().await;
    let results = async |body: String| {
        let mut import = Import::with(&api, "idempotency-key: k\r\n").await;
        import.send(body).await;
        import.end().await;
        import.results().await
    };
    // As if the first attempt had ended after two lines; a blank line counts.
    let begun = results(format!("{}\n\n{}\n", event("a"), event("b"))).await;
    assert_eq!((begun.len(), &begun[1]["line"], begun[1].get("replayed")), (2, &json!(3), None));
    let whole = results(format!("{}\n\n{}\n{}\n", event("a"), event("b"), event("c"))).await;
    let seen = |result: &Value| (result["id"].clone(), result["replayed"].clone());
    for (first, again) in begun.iter().zip(&whole) {
        assert_eq!(seen(again), (first["id"].clone(), json!(true)));
    }
    assert_eq!((whole.len(), whole[2].get("replayed")), (3, None));
    assert_eq!(api.stored_orders().await, ["a", "b", "c"]);

    let other = results(format!("{}\n", event("other"))).await;
    assert_eq!(other[0]["problem"]["status"], 409, "{other:?}");
    let alone = api.post_keyed("k#3", &event("b")).await;
    assert_eq!((alone.is_replay(), &alone.body["id"]), (true, &begun[1]["id"]));
    // Without a key of the request the events' own IDs count.
    let own = with_id("d", "e-1").to_string();
    let mut import = Import::open(&api).await;
    import.send(format!("{own}\n{own}\n")).await;
    import.end().await;
    let twice = import.results().await;
    assert_eq!((&twice[1]["id"], &twice[1]["replayed"]), (&twice[0]["id"], &json!(true)));
    assert_eq!(api.stored().await.len(), 4);
}

#[tokio::test]
async fn a_batch_that_was_stored_in_part_is_completed_and_not_repeated() {
    let api = Api::with(
        RedisServer::start().await,
        &[("producer.batch_max", "50"), ("retention.policy", "maxlen")],
    );
    let mut body = batch("o", 1_000);
    for event in body.as_array_mut().unwrap() {
        event["note"] = json!("x".repeat(800));
    }
    // Warm, so that connections and buffers have their memory.
    let warm = api.post(&body).await.ids();
    let info: String = api.redis("INFO memory").await;
    let used: u64 =
        info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap();
    let () = api.redis(&format!("CONFIG SET maxmemory {}", used + 400_000)).await;
    let parted = api.post_keyed("k", &body).await;
    assert_eq!(parted.status, 207, "{parted:?}");
    let results = parted.body["results"].as_array().unwrap().clone();
    let () = api.redis("CONFIG SET maxmemory 0").await;

    let whole = api.post_keyed("k", &body).await;
    assert!(!whole.is_replay());
    let ids = whole.ids();
    for (result, id) in results.iter().zip(&ids) {
        if result["stored"] == "yes" {
            assert_eq!(result["id"], id.as_str());
        }
    }
    let stored = api.stored().await;
    assert_eq!(stored.len(), warm.len() + 1_000);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 1_000);
    let orders: HashSet<_> = stored[warm.len()..].iter().map(|(_, order)| order).collect();
    assert_eq!(orders.len(), 1_000, "each once");
    let again = api.post_keyed("k", &body).await;
    assert_eq!((again.is_replay(), again.ids()), (true, ids));
}

#[tokio::test]
async fn what_is_unknown_can_be_sent_again() {
    let api = Api::with(RedisServer::start().await, &[("redis.response_timeout", "200ms")]);
    api.pause_writes().await;
    for (key, body) in [("one", event("o")), ("many", batch("b", 3))] {
        let answer = api.post_keyed(key, &body).await;
        answer.is_problem(503, "/problems/redis-unavailable");
        assert_eq!(answer.body["stored"], "unknown");
    }
    // The held writes are applied now.
    api.unpause_writes().await;
    for (key, body) in [("one", event("o")), ("many", batch("b", 3))] {
        stored(&api, key, &body).await;
    }
    assert_eq!(api.stored().await.len(), 4);
}

/// Sends it again until it is stored.
async fn stored(api: &Api, key: &str, body: &Value) -> Answer {
    eventually(HANG, "it is stored", async || {
        let answer = api.post_keyed(key, body).await;
        if answer.status == 201 { Ok(answer) } else { Err(answer.body.to_string()) }
    })
    .await
}

#[tokio::test]
async fn keys_outlive_the_producer_and_a_redis_that_is_killed() {
    let redis = RedisServer::builder().append_only(true).start().await;
    let api = Api::with(redis, &[]);
    let one = api.post_keyed("k", &event("o")).await;
    let many = api.post_keyed("b", &batch("b", 100)).await.ids();
    let own = api.post(&with_id("p", "e-1")).await;
    let mut api = api.crash(&[]);
    api.redis.kill();
    api.redis.restart().await;
    assert_eq!(stored(&api, "k", &event("o")).await.body, one.body);
    assert_eq!(api.post_keyed("b", &batch("b", 100)).await.ids(), many);
    assert_eq!(api.post(&with_id("p", "e-1")).await.body, own.body);
    assert_eq!(api.stored().await.len(), 102);
}

#[tokio::test]
async fn windows_and_bounds_are_configured() {
    let settings = [("producer.event_id_window", "300ms"), ("producer.idempotency_keys_max", "8")];
    let api = Api::with(RedisServer::start().await, &settings);
    let first = api.post(&with_id("o", "e-1")).await;
    eventually(HANG, "the ID is new again", async || {
        let answer = api.post(&with_id("o", "e-1")).await;
        (answer.body["id"] != first.body["id"]).then_some(())
    })
    .await;
    for n in 0..20 {
        assert_eq!(api.post_keyed(&format!("k-{n}"), &event("o")).await.status, 201);
    }
    let forgotten = api.metric("producer_dedup_forgotten_total{key=\"header\"}").await as u64;
    assert!((12..20).contains(&forgotten), "{forgotten}");
    assert_eq!(api.metric("producer_dedup_forgotten_total{key=\"event\"}").await as u64, 0);
    let ttl: i64 = api.redis(&format!("PTTL {{{}}}:idem:header:0", api.stream)).await;
    assert!(Duration::from_millis(ttl as u64) > Duration::from_hours(47), "{ttl}");
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_before_the_body_is_looked_at() {
    let api = Api::start().await;
    for key in ["", "\"", "a b", "\"a\", \"b\"", &"k".repeat(129)] {
        let answer = api.post_keyed(key, &json!([])).await;
        answer.is_problem(400, "/problems/invalid-header");
        assert_eq!(answer.body["header"], "Idempotency-Key");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    api.post_json_with(&twice, &event("o")).await.is_problem(400, "/problems/invalid-header");
    api.post(&with_id("o", "")).await.is_problem(422, "/problems/invalid-event");
    assert!(api.stored().await.is_empty());
}
