//! Starting and stopping: Redis away, ports taken, names held, drains.

use std::time::Duration;

use e2e::{Pipeline, Role};
use nix::sys::signal::Signal;
use serde_json::json;
use testkit::{RedisServer, eventually};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn services_wait_for_redis_say_so_and_go_on_by_themselves() {
    let redis = RedisServer::builder().append_only(true).start().await;
    let mut pipeline = Pipeline::on(redis);
    pipeline.redis.kill();
    let roles = [Role::Producer, Role::Notifications, Role::Analytics, Role::Reaper];
    let mut services = roles.map(|role| pipeline.start(role));
    for service in &services {
        let url = service.ops_url("/readyz");
        let reasons = eventually(SOON, "the service says that it is not ready", async || {
            let answer = reqwest::get(&url).await.map_err(|error| error.to_string())?;
            if answer.status() == 503 {
                Ok(answer.text().await.unwrap_or_default())
            } else {
                Err("ready".to_owned())
            }
        })
        .await;
        assert!(reasons.contains("redis"), "{reasons}");
    }
    let event = json!({ "type": "order.paid", "order_id": "o-1", "customer": "eve", "amount": "2.00" });
    eventually(SOON, "producer-api listens and refuses", async || {
        let request = reqwest::Client::new().post(pipeline.url(Role::Producer, "/v1/events"));
        let answer = request.json(&event).send().await.map_err(|error| error.to_string())?;
        (answer.status() == 503).then_some(()).ok_or(answer.status().to_string())
    })
    .await;

    pipeline.redis.restart().await;
    for service in &mut services {
        service.ready().await;
    }
    assert_eq!(pipeline.post(event.to_string()).await.0, 201);
    pipeline.settled().await;

    // And once more in mid-flight: what was answered 201 is still there.
    pipeline.redis.kill();
    let url = services[1].ops_url("/readyz");
    eventually(SOON, "readiness turns false again", async || {
        let answer = reqwest::get(&url).await.map_err(|error| error.to_string())?;
        (answer.status() == 503).then_some(()).ok_or("still ready".to_owned())
    })
    .await;
    pipeline.redis.restart().await;
    for service in &mut services {
        service.ready().await;
    }
    assert_eq!(pipeline.post(event.to_string()).await.0, 201);
    pipeline.settled().await;
    let summary = pipeline.analytics("/v1/analytics/summary").await;
    assert_eq!(summary["revenue"], "4.00");
}

#[tokio::test]
async fn a_second_process_with_the_same_names_refuses_to_start_and_names_the_holder() {
    let mut pipeline = Pipeline::new().await;
    let mut first = pipeline.start_named(Role::Notifications, &["worker-a"]);
    first.ready().await;
    let mut second = pipeline.start_named(Role::Notifications, &["worker-a"]);
    assert_eq!(second.exit().await.code(), Some(1));
    let log = second.log();
    let address = first.ops_url("").replace("http://", "");
    assert!(log.contains("worker-a") && log.contains(&address), "{log}");
    // The first is not disturbed.
    first.ready().await;
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_setting_that_changes_it() {
    let mut pipeline = Pipeline::new().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    pipeline.set("ORDERFLOW__PRODUCER__LISTEN", &address);
    let mut producer = pipeline.start(Role::Producer);
    assert_eq!(producer.exit().await.code(), Some(1));
    let log = producer.log();
    assert!(log.contains(&address) && log.contains("producer.listen"), "{log}");
}

#[tokio::test]
async fn a_wrong_configuration_ends_with_78_and_every_error_at_once() {
    let mut pipeline = Pipeline::new().await;
    pipeline.set("ORDERFLOW__WORKER__BLOCK", "soon");
    pipeline.set("ORDERFLOW__STREAM__KEY", "a{");
    pipeline.set("ORDERFLOW__WORKER__DRAIN_TIMEOUT", "1h");
    for role in [Role::Producer, Role::Notifications, Role::Analytics, Role::Reaper] {
        let mut service = pipeline.start(role);
        assert_eq!(service.exit().await.code(), Some(78));
        let log = service.log();
        for key in ["worker.block", "stream.key", "worker.drain_timeout"] {
            assert!(log.contains(key), "{key} is missing:\n{log}");
        }
    }
}

#[tokio::test]
async fn sigterm_under_load_ends_with_0_and_loses_nothing() {
    let mut pipeline = Pipeline::new().await;
    let [producer, notifications, analytics] =
        pipeline.start_all([Role::Producer, Role::Notifications, Role::Analytics]).await;
    let batch: Vec<_> = (0..200)
        .map(|n| json!({ "type": "order.paid", "order_id": format!("o-{n}"), "customer": "eve", "amount": "0.01" }))
        .collect();
    let body = json!(batch).to_string();
    for _ in 0..20 {
        assert_eq!(pipeline.post(body.clone()).await.0, 201);
    }
    for mut worker in [notifications, analytics] {
        worker.signal(Signal::SIGTERM);
        assert_eq!(worker.exit().await.code(), Some(0), "{}", worker.log());
    }
    let _others = pipeline.start_all([Role::Notifications, Role::Analytics]).await;
    pipeline.settled().await;
    let summary = pipeline.analytics("/v1/analytics/summary").await;
    assert_eq!((&summary["revenue"], &summary["events"]), (&json!("40.00"), &json!(4_000)));

    let mut producer = producer;
    producer.signal(Signal::SIGTERM);
    assert_eq!(producer.exit().await.code(), Some(0), "{}", producer.log());
}
