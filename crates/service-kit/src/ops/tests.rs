//! The ops port over a real socket, readiness, binding and bounded shutdown.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use prometheus::{IntCounter, Registry};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::{Condition, OpsRoutes, Readiness, router};
use crate::http::{BindError, Listeners, Port, bind};

const KEY: &str = "producer.ops_listen";

struct Server {
    addr: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<bool>,
}

async fn start(router: Router, grace: Duration) -> Server {
    let port = Port::ops(SocketAddr::from(([127, 0, 0, 1], 0)), KEY);
    let listener = Listeners::default().bind(port).await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let task = tokio::spawn(listener.serve(router, stop.clone(), grace));
    Server { addr, stop, task }
}

/// Status, head and body of an answer.
async fn request(addr: SocketAddr, method: &'static str, path: &'static str) -> (u16, String, String) {
    let answer = spawn_blocking(move || {
        let mut stream = TcpStream::connect(addr)?;
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    });
    let answer = answer.await.expect("no panic").expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, head.to_ascii_lowercase(), body.to_owned())
}

async fn readyz(addr: SocketAddr) -> (u16, Value) {
    let (status, _, body) = request(addr, "GET", "/readyz").await;
    (status, serde_json::from_str(&body).expect("JSON"))
}

#[tokio::test]
async fn readyz_follows_redis_and_says_draining_for_ever() {
    let readiness = Readiness::new([Condition::Redis]);
    let routes = router("producer-api", Registry::new(), readiness.clone(), OpsRoutes::default());
    let server = start(routes, Duration::from_secs(5)).await;

    let not_ready =
        |reason: &str| (503, json!({"ready": false, "service": "producer-api", "reasons": [reason]}));
    let ready = (200, json!({"ready": true, "service": "producer-api", "reasons": []}));
    assert_eq!(readyz(server.addr).await, not_ready("redis: not checked yet"));
    readiness.set(Condition::Redis, Ok::<_, String>(()));
    assert_eq!(readyz(server.addr).await, ready);
    readiness.set(Condition::Redis, Err("connection refused"));
    assert_eq!(readyz(server.addr).await, not_ready("redis: connection refused"));
    readiness.set(Condition::Redis, Ok::<_, String>(()));
    readiness.draining();
    readiness.set(Condition::Redis, Ok::<_, String>(()));
    assert_eq!(readyz(server.addr).await, not_ready("draining"));
    assert_eq!(request(server.addr, "GET", "/livez").await.0, 200);

    server.stop.cancel();
    assert!(server.task.await.unwrap());
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let registry = Registry::new();
    let events = IntCounter::new("events_total", "Events.").unwrap();
    registry.register(Box::new(events.clone())).unwrap();
    events.inc_by(3);
    let routes = router("reaper", registry, Readiness::new([]), OpsRoutes::default());
    let server = start(routes, Duration::from_secs(5)).await;

    let (status, head, body) = request(server.addr, "GET", "/metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("# TYPE events_total counter\nevents_total 3\n"), "{body}");
}

#[tokio::test]
async fn a_service_mounts_its_routes_on_the_running_port() {
    let routes = OpsRoutes::default();
    let ops = router("reaper", Registry::new(), Readiness::new([]), routes.clone());
    let server = start(ops, Duration::from_secs(5)).await;

    let (status, head, _) = request(server.addr, "POST", "/admin/pause").await;
    assert_eq!(status, 404);
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    routes.mount(Router::new().route("/admin/pause", post(|| async { "paused" })));
    routes.mount(Router::new().route("/more", get(|| async { "more" })));
    assert_eq!(request(server.addr, "GET", "/more").await.2, "more");
    let (status, _, body) = request(server.addr, "POST", "/admin/pause").await;
    assert_eq!((status, body.as_str()), (200, "paused"));
    let (status, head, _) = request(server.addr, "GET", "/admin/pause").await;
    assert_eq!(status, 405);
    assert!(head.contains("allow: post"), "{head}");
    assert_eq!(request(server.addr, "POST", "/livez").await.0, 405);
}

#[tokio::test]
async fn a_taken_address_is_told_with_its_remedy() {
    let taken = bind(SocketAddr::from(([127, 0, 0, 1], 0)), KEY).await.unwrap();
    let addr = taken.local_addr().unwrap();
    let error = bind(addr, KEY).await.unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {addr} (producer.ops_listen): address already in use; set producer.ops_listen (ORDERFLOW__PRODUCER__OPS_LISTEN) to a free port"
        )
    );
}

/// A route that says when it was entered and answers when it is released.
fn gated(entered: &Arc<Notify>, release: &Arc<Notify>) -> Router {
    let (entered, release) = (entered.clone(), release.clone());
    Router::new().route(
        "/slow",
        get(|| async move {
            entered.notify_one();
            release.notified().await;
            "whole answer"
        }),
    )
}

#[tokio::test]
async fn a_request_in_flight_is_answered_whole_after_shutdown() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server = start(gated(&entered, &release), Duration::from_secs(30)).await;
    let answer = tokio::spawn(request(server.addr, "GET", "/slow"));
    entered.notified().await;
    server.stop.cancel();
    release.notify_one();
    assert_eq!(answer.await.unwrap().2, "whole answer");
    assert!(server.task.await.unwrap());
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_up_the_end() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server = start(gated(&entered, &release), Duration::from_millis(20)).await;
    let answer = tokio::spawn(request(server.addr, "GET", "/slow"));
    entered.notified().await;
    server.stop.cancel();
    assert!(!server.task.await.unwrap(), "the bound was reached");
    release.notify_one();
    answer.await.unwrap();
}

#[tokio::test]
async fn waiting_for_readiness_ends_with_it_or_with_draining() {
    let readiness = Readiness::new([Condition::Redis, Condition::Other("schema")]);
    let waiting = tokio::spawn({
        let readiness = readiness.clone();
        async move { readiness.wait_ready().await }
    });
    readiness.set(Condition::Redis, Ok::<_, String>(()));
    assert_eq!(readiness.reasons(), ["schema: not checked yet"]);
    readiness.set(Condition::Other("schema"), Ok::<_, String>(()));
    assert!(waiting.await.unwrap());
    readiness.draining();
    assert!(!readiness.wait_ready().await);
}
