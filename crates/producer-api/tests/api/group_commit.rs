//! Group commit, seen from outside.

use futures_util::future::join_all;
use serde_json::json;
use testkit::{RedisServer, eventually};

use crate::{
    client::{Api, event, orders, raw_post},
    process::HANG,
};

const PIPELINES: &str = "producer_append_batch_size_count";
const EVENTS: &str = "producer_append_batch_size_sum";

#[tokio::test]
async fn what_queued_during_a_write_is_written_together() {
    let api = Api::with(RedisServer::start().await, &[]);
    api.pause_writes().await;
    let names = orders("o", 64);
    let bodies: Vec<_> = names.iter().map(|name| event(name)).collect();
    let (answers, ()) = tokio::join!(join_all(bodies.iter().map(|body| api.post(body))), async {
        // Everything has arrived, and waits except for what the two pipelines in flight took.
        eventually(HANG, "the events wait", async || {
            let requests = api.metric("producer_queue_events").await;
            if requests >= 32.0 { Ok(()) } else { Err(requests) }
        })
        .await;
        api.unpause_writes().await;
    });
    assert!(answers.iter().all(|answer| answer.status == 201));
    let (pipelines, events) = (api.metric(PIPELINES).await, api.metric(EVENTS).await);
    assert_eq!(events as u64, 64);
    assert!(pipelines <= 32.0, "{pipelines} pipelines for 64 events");

    let mut stored = api.stored_orders().await;
    let mut names = names;
    stored.sort_unstable();
    names.sort_unstable();
    assert_eq!(stored, names, "each once");
    let ids: std::collections::HashSet<_> =
        answers.iter().map(|answer| answer.body["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 64);
}

#[tokio::test]
async fn sixty_four_clients_share_pipelines() {
    let api = Api::start().await;
    let results = join_all((0..64).map(|client| {
        let api = &api;
        async move {
            for n in 0..20 {
                let order = format!("c{client}-{n}");
                let answer = api.post(&event(&order)).await;
                assert_eq!(answer.status, 201, "{answer:?}");
                let read = api.get(answer.headers["location"].to_str().unwrap()).await;
                assert_eq!(read.body["fields"]["order_id"], order, "each has its own ID");
            }
        }
    }))
    .await;
    assert_eq!(results.len(), 64);
    let (pipelines, events) = (api.metric(PIPELINES).await, api.metric(EVENTS).await);
    assert_eq!(events as u64, 64 * 20);
    assert!(pipelines < events, "{pipelines} pipelines for {events} events");
}

const GONE_FAILED: &str = "producer_events_total{outcome=\"failed\",type=\"order.placed\"}";

#[tokio::test]
async fn a_client_that_went_away_is_not_written_late() {
    let settings = [
        ("producer.queue_capacity", "1"),
        ("producer.batch_max", "1"),
        ("producer.pipelines_in_flight", "1"),
        ("redis.response_timeout", "10s"),
    ];
    let api = Api::with(RedisServer::start().await, &settings);
    api.pause_writes().await;
    let (held, next) = (event("held"), event("next"));
    let (held, next) = tokio::join!(api.post(&held), async {
        api.write_is_held().await;
        let mut other_type = event("gone");
        other_type["type"] = json!("order.placed");
        let gone = api.connect(&raw_post(&other_type)).await;
        api.metric_becomes("producer_queue_events", 1.0).await;
        drop(gone);
        // There is room again once the service has noticed; until then this is refused at once.
        let next = async {
            eventually(HANG, "there is room", async || {
                let answer = api.post(&next).await;
                (answer.body["type"] != "/problems/overloaded").then_some(answer)
            })
            .await
        };
        let unpause = async {
            api.metric_becomes(GONE_FAILED, 1.0).await;
            api.unpause_writes().await;
        };
        tokio::join!(next, unpause).0
    });
    assert_eq!((held.status, next.status), (201, 201), "{held:?} {next:?}");
    assert_eq!(api.stored_orders().await, ["held", "next"]);
}
