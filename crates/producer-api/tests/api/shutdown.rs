//! Stopping: requests in flight get their answers, the process ends with 0.

use tokio::{io::AsyncReadExt as _, net::TcpStream};

use crate::client::{Api, event, raw_post};

#[tokio::test]
async fn sigterm_finishes_what_was_begun() {
    let mut api = Api::start().await;
    api.pause_writes().await;
    let mut begun = api.connect(&raw_post(&event("begun"))).await;
    api.write_is_held().await;
    api.process.terminate();
    api.process.logged("draining");
    assert!(!api.ready().await);
    api.unpause_writes().await;

    let mut answer = String::new();
    begun.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(api.process.exited().await.code(), Some(0));
    assert_eq!(api.stored_orders().await, ["begun"]);
    assert!(TcpStream::connect(&api.addr).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn sigterm_while_redis_is_stuck_ends_within_the_drain_timeout() {
    let redis = testkit::RedisServer::start().await;
    let settings =
        [("worker.drain_timeout", "1s"), ("worker.block", "100ms"), ("producer.request_deadline", "900ms")];
    let mut api = Api::with(redis, &settings);
    api.pause_writes().await;
    let _begun = api.connect(&raw_post(&event("begun"))).await;
    api.write_is_held().await;
    let begun = std::time::Instant::now();
    api.process.terminate();
    assert_eq!(api.process.exited().await.code(), Some(0));
    assert!(begun.elapsed() < std::time::Duration::from_secs(1) + crate::client::SLACK);
}
