//! The levers over HTTP: a real worker, a real Redis, a real socket.

#![expect(clippy::unwrap_used, reason = "in helpers as in tests a panic is the failure report")]

use std::time::Duration;

use prometheus::Registry;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use service_kit::{
    Settings, admin,
    auth::Authenticator,
    config::Secret,
    http::{Listeners, Port},
};
use stream_core::{
    ConnectSettings, Connector, Delivery, EventStream, Handler, Outcome, StartAt, StreamKey, Worker,
    WorkerSettings,
};
use testkit::{RedisServer, eventually};
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

struct Acking;

impl Handler for Acking {
    async fn handle(&self, _: &Delivery) -> Outcome {
        Outcome::Ack
    }
}

/// A worker of group `g` with consumers `a` and `b`, and its admin port.
struct Bench {
    _server: RedisServer,
    stream: EventStream,
    base: String,
    stop: CancellationToken,
}

impl Bench {
    async fn start(token: &str, fault_injection: bool) -> Self {
        let server = RedisServer::start().await;
        let connect = ConnectSettings { url: server.url(), ..ConnectSettings::default() };
        let connector = Connector::new(connect).unwrap();
        let key = StreamKey::new(server.unique_stream("orders")).unwrap();
        let stream = EventStream::new(connector.commands().unwrap(), key);
        stream.ensure_group("g", StartAt::Beginning).await.unwrap();
        let settings = WorkerSettings {
            consumers: vec!["a".to_owned(), "b".to_owned()],
            block: Duration::from_millis(100),
            claim_min_idle: Duration::from_millis(300),
            claim_auto: false,
            fault_injection,
            lease_ttl: Duration::from_secs(1),
            lease_renew_interval: Duration::from_millis(200),
            ..WorkerSettings::default()
        };
        let worker = Worker::new(connector, stream.clone(), "g", settings, &Registry::new()).unwrap();
        let mut config = Settings::default().admin;
        config.token = Secret::new(token);
        let keys = Authenticator::open(&Registry::new()).unwrap();
        let router = admin::router(worker.control(), &config, &keys);
        let mut ready = worker.consumers_ready();
        let stop = CancellationToken::new();
        tokio::spawn(worker.run_handler(Acking, stop.clone()));
        ready.wait_for(|ready| ready.is_ready()).await.unwrap();
        let port = Port::ops("127.0.0.1:0".parse().unwrap(), "x");
        let listener = Listeners::default().bind(port).await.unwrap();
        let base = format!("http://{}/admin", listener.local_addr().unwrap());
        tokio::spawn(listener.serve(router, stop.clone(), Duration::ZERO));
        Self { _server: server, stream, base, stop }
    }

    async fn send(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Option<&str>,
    ) -> (u16, String, Value) {
        let mut request = Client::new().request(method, format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        let answer = request.send().await.unwrap();
        let content_type = answer.headers().get("content-type").map(|text| text.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, content_type.unwrap_or_default(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map(|body| body.to_string());
        let (status, _, answer) = self.send(Some(TOKEN), method, path, body.as_deref()).await;
        (status, answer)
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask(Method::POST, path, Some(body)).await
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test]
async fn only_the_token_opens_any_of_the_routes() {
    let bench = Bench::start(TOKEN, false).await;
    for (method, path) in [
        (Method::GET, "/worker"),
        (Method::POST, "/worker/pause"),
        (Method::POST, "/consumers"),
        (Method::DELETE, "/consumers/a"),
    ] {
        for token in [None, Some("0123456789abcdef0123456789abcdee"), Some("")] {
            let (status, content_type, body) = bench.send(token, method.clone(), path, None).await;
            assert_eq!((status, content_type.as_str()), (401, "application/problem+json"), "{path}");
            assert_eq!(body["type"], "/problems/unauthorized");
            assert!(!body.to_string().contains(TOKEN));
        }
    }
    let (status, body) = bench.ask(Method::GET, "/worker", None).await;
    assert_eq!((status, &body["consumers"][0]["paused"]), (200, &json!(false)), "{body}");

    let closed = Bench::start("", false).await;
    for token in [None, Some(TOKEN), Some("")] {
        let (status, _, body) = closed.send(token, Method::GET, "/worker", None).await;
        assert_eq!((status, &body["type"]), (403, &json!("/problems/admin-disabled")));
        assert!(body["detail"].as_str().unwrap().contains("ORDERFLOW__ADMIN__TOKEN"), "{body}");
    }
}

#[tokio::test]
async fn the_levers_do_what_they_say() {
    let bench = Bench::start(TOKEN, true).await;
    let (status, body) = bench.ask(Method::GET, "/worker", None).await;
    assert_eq!((status, &body["group"], &body["claim_auto"]), (200, &json!("g"), &json!(false)));
    assert_eq!(
        (&body["consumers"][1]["name"], &body["consumers"][1]["state"]),
        (&json!("b"), &json!("running"))
    );
    assert_eq!(body["consumers"][1]["counters"]["acked"], 0, "{body}");

    // Crash: the next two of `a` stay pending; `b` claims them.
    assert_eq!(bench.ask(Method::POST, "/consumers/b/pause", None).await.0, 204);
    assert_eq!(bench.post("/consumers/a/drop-next", json!({"count": 2})).await, (200, json!({"queued": 2})));
    let mut ids = Vec::new();
    for n in ["1", "2", "3"] {
        ids.push(bench.stream.append([("n", n)]).await.unwrap().to_string());
    }
    eventually(Duration::from_secs(10), "two are pending and idle", async || {
        let summary = bench.stream.pending_summary("g").await.map_err(|error| error.to_string())?;
        let filter = stream_core::PendingFilter {
            min_idle: Some(Duration::from_millis(300)),
            ..stream_core::PendingFilter::default()
        };
        let idle = bench.stream.pending("g", &filter).await.map_err(|error| error.to_string())?.len();
        if summary.count == 2 && idle == 2 { Ok(()) } else { Err(format!("{summary:?}")) }
    })
    .await;
    let (status, report) = bench.ask(Method::POST, "/consumers/b/claim", None).await;
    assert_eq!(
        (status, &report["claimed"], &report["processed"]),
        (200, &json!(ids[..2]), &json!(2)),
        "{report}"
    );
    assert_eq!((&report["deleted"], &report["min_idle_ms"]), (&json!([]), &json!(300)));
    let (status, body) = bench.post("/consumers/b/claim", json!({"min_idle_ms": 10})).await;
    assert_eq!((status, &body["type"]), (422, &json!("/problems/min-idle-too-short")));

    let (status, body) = bench.post("/consumers", json!({"name": "c"})).await;
    assert_eq!((status, body), (201, json!({"name": "c"})));
    let (status, body) = bench.post("/consumers", json!({"name": "c"})).await;
    assert_eq!((status, &body["type"]), (409, &json!("/problems/consumer-exists")));
    assert!(body["detail"].as_str().unwrap().contains("already exists"), "{body}");
    let (status, body) = bench.post("/consumers/a/handover", json!({"to": "c"})).await;
    assert_eq!((status, &body["moved"]), (200, &json!(0)), "{body}");

    let (status, body) = bench.ask(Method::DELETE, "/consumers/a?to=nobody", None).await;
    assert_eq!((status, &body["type"]), (409, &json!("/problems/not-a-peer")));
    for name in ["a", "b"] {
        let (status, body) = bench.ask(Method::DELETE, &format!("/consumers/{name}"), None).await;
        assert_eq!((status, &body["deleted"]), (200, &json!(true)), "{body}");
    }
    assert_eq!(bench.ask(Method::DELETE, "/consumers/a", None).await.0, 404);
    // The last one holds an entry now, and has no peer.
    bench.post("/consumers/c/drop-next", json!({"count": 1})).await;
    bench.stream.append([("n", "4")]).await.unwrap();
    eventually(Duration::from_secs(10), "it is pending", async || {
        let summary = bench.stream.pending_summary("g").await.map_err(|error| error.to_string())?;
        if summary.count == 1 { Ok(()) } else { Err(format!("{summary:?}")) }
    })
    .await;
    let (status, body) = bench.ask(Method::DELETE, "/consumers/c", None).await;
    assert_eq!((status, &body["type"], &body["pending"]), (409, &json!("/problems/no-peer"), &json!(1)));

    for (path, body) in
        [("/worker/pause", None), ("/worker/resume", None), ("/worker/claiming", Some(json!({"auto": true})))]
    {
        assert_eq!(bench.ask(Method::POST, path, body).await.0, 204, "{path}");
    }
    let (_, body) = bench.ask(Method::GET, "/worker", None).await;
    assert_eq!(body["claim_auto"], true);
}

#[tokio::test]
async fn what_cannot_be_done_is_a_problem() {
    let bench = Bench::start(TOKEN, false).await;
    for (method, path, body, status, kind) in [
        (Method::POST, "/worker/claiming", Some("{"), 400, "malformed-json"),
        (Method::POST, "/worker/claiming", Some("{}"), 422, "invalid-body"),
        (Method::POST, "/worker/claiming", Some("{\"auto\":true,\"x\":1}"), 422, "invalid-body"),
        (Method::POST, "/worker/claiming", None, 415, "unsupported-media-type"),
        (Method::POST, "/consumers", Some("{\"name\":\"a b\"}"), 422, "invalid-name"),
        (Method::POST, "/consumers/x/pause", None, 404, "unknown-consumer"),
        (Method::POST, "/consumers/x/claim", None, 404, "unknown-consumer"),
        (Method::POST, "/consumers/a/drop-next", Some("{\"count\":0}"), 422, "invalid-body"),
        (Method::POST, "/consumers/a/drop-next", Some("{\"count\":1}"), 403, "fault-injection-off"),
        (Method::DELETE, "/consumers/a?too=b", None, 400, "invalid-query"),
    ] {
        let (got, content_type, answer) = bench.send(Some(TOKEN), method, path, body).await;
        let expected = (status, "application/problem+json", format!("/problems/{kind}"));
        let got = (got, content_type.as_str(), answer["type"].as_str().unwrap_or_default().to_owned());
        assert_eq!(got, expected, "{path} {body:?}: {answer}");
    }
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(20_000));
    assert_eq!(bench.send(Some(TOKEN), Method::POST, "/consumers", Some(&large)).await.0, 413);
}

#[tokio::test]
async fn wrong_tokens_are_slowed_down_and_the_right_one_is_not() {
    let bench = Bench::start(TOKEN, false).await;
    for _ in 0..10 {
        assert_eq!(bench.send(Some("wrong"), Method::GET, "/worker", None).await.0, 401);
    }
    let (status, _, body) = bench.send(Some("wrong"), Method::GET, "/worker", None).await;
    assert_eq!((status, &body["type"]), (429, &json!("/problems/too-many-attempts")));
    assert_eq!(bench.send(Some(TOKEN), Method::GET, "/worker", None).await.0, 200);
}
