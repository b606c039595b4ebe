//! The service under test together with its Redis, as a client and an operator see them.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use testkit::RedisServer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    process::{HANG, Process},
    sse::Events,
};

/// A ready producer-api with a server and a stream of its own.
pub(crate) struct Api {
    // The process goes before its server.
    pub(crate) process: Process,
    pub(crate) redis: RedisServer,
    pub(crate) stream: String,
    pub(crate) addr: String,
    pub(crate) ops_addr: String,
    http: reqwest::Client,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Api {
    pub(crate) async fn start() -> Self {
        Self::with(RedisServer::start().await, &[])
    }

    /// Starts with settings, and waits until it is ready and writes nothing by itself any more.
    pub(crate) fn with(redis: RedisServer, settings: &[(&str, &str)]) -> Self {
        let api = Self::listening(redis, settings);
        api.process.logged_all(["ready", "the server's capabilities were tried"]);
        api
    }

    /// Starts with settings, and waits until it listens; Redis may be away.
    pub(crate) fn listening(redis: RedisServer, settings: &[(&str, &str)]) -> Self {
        let stream = redis.unique_stream("orders");
        Self::on(redis, stream, settings)
    }

    fn on(redis: RedisServer, stream: String, settings: &[(&str, &str)]) -> Self {
        let process = Process::start(&redis, &stream, settings);
        let text = |value: &Value| value.as_str().expect("an address").to_owned();
        let ops_addr = text(&process.logged("starting")["ops_addr"]);
        let addr = text(&process.logged("listening")["addr"]);
        let http = reqwest::Client::builder().timeout(HANG).build().expect("a client");
        Self { process, redis, stream, addr, ops_addr, http }
    }

    /// Posts a JSON body.
    pub(crate) async fn post(&self, body: &Value) -> Answer {
        self.post_text("application/json", body.to_string()).await
    }

    pub(crate) async fn post_text(&self, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.http.post(self.url("/v1/events")).header("content-type", content_type).body(body);
        Answer::of(request.send().await.expect("an answer")).await
    }

    /// Posts with these headers and no others.
    pub(crate) async fn post_with(&self, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let request = self.http.post(self.url("/v1/events")).body(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::of(request.send().await.expect("an answer")).await
    }

    /// Posts a JSON body with further headers.
    pub(crate) async fn post_json_with(&self, headers: &[(&str, &str)], body: &Value) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.post_with(&headers, body.to_string().into()).await
    }

    /// Posts a JSON body under an `Idempotency-Key`.
    pub(crate) async fn post_keyed(&self, key: &str, body: &Value) -> Answer {
        self.post_json_with(&[("idempotency-key", key)], body).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = self.http.get(self.url(path));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::of(request.send().await.expect("an answer")).await
    }

    /// Kills the process (SIGKILL) and starts another one on the same stream.
    pub(crate) fn crash(self, settings: &[(&str, &str)]) -> Self {
        let Self { process, redis, stream, .. } = self;
        drop(process);
        let api = Self::on(redis, stream, settings);
        api.process.logged_all(["ready", "the server's capabilities were tried"]);
        api
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str) -> Answer {
        let request = self.http.request(method, self.url(path));
        Answer::of(request.send().await.expect("an answer")).await
    }

    /// Listens to the live tail, over a connection of its own.
    pub(crate) async fn tail(&self, query: &str, last_event_id: Option<&str>) -> Events {
        Events::new(self.open_tail(query, last_event_id).await)
    }

    /// The answer to a request for the live tail.
    pub(crate) async fn open_tail(&self, query: &str, last_event_id: Option<&str>) -> reqwest::Response {
        // It has no timeout, and no connection that others use.
        let client = reqwest::Client::new();
        let request = client.get(self.url(&format!("/v1/events/tail?{query}")));
        let id = last_event_id.map(|id| ("last-event-id", id));
        let request = id.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        request.send().await.expect("an answer")
    }

    /// Starts the service again, after it has ended.
    pub(crate) fn restart(&mut self) {
        self.process = Process::start(&self.redis, &self.stream, &[]);
        let text = |value: &Value| value.as_str().expect("an address").to_owned();
        self.ops_addr = text(&self.process.logged("starting")["ops_addr"]);
        self.addr = text(&self.process.logged("listening")["addr"]);
        self.process.logged_all(["ready", "the server's capabilities were tried"]);
    }

    /// Sends bytes over a connection of its own and reads the answer's status and body, without ending the request.
    pub(crate) async fn raw(&self, request: &str) -> (u16, String) {
        let mut socket = self.connect(request).await;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.expect("an answer");
        let answer = String::from_utf8(answer).expect("text");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        (status.unwrap_or_else(|| panic!("no status in {answer:?}")), body.unwrap_or_default())
    }

    pub(crate) async fn connect(&self, request: &str) -> TcpStream {
        let mut socket = TcpStream::connect(&self.addr).await.expect("a connection");
        socket.write_all(request.as_bytes()).await.expect("a request");
        socket
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) async fn ready(&self) -> bool {
        let url = format!("http://{}/readyz", self.ops_addr);
        self.http.get(url).send().await.expect("an answer").status() == StatusCode::OK
    }

    /// The value of one series of `/metrics`.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let url = format!("http://{}/metrics", self.ops_addr);
        let text = self.http.get(url).send().await.expect("metrics").text().await.expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().expect("a number")
    }

    /// Waits until a series has this value.
    pub(crate) async fn metric_becomes(&self, series: &str, expected: f64) {
        testkit::eventually(HANG, &format!("{series} is {expected}"), async || {
            let value = self.metric(series).await;
            if (value - expected).abs() < f64::EPSILON { Ok(()) } else { Err(value) }
        })
        .await;
    }

    /// A connection for looking at, and disturbing, the server.
    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        self.redis.connection().await
    }

    /// Runs a Redis command, its words separated by spaces.
    pub(crate) async fn redis<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut cmd = redis::cmd(words.next().expect("a command"));
        for word in words {
            cmd.arg(word);
        }
        cmd.query_async(&mut self.connection().await).await.expect("a reply")
    }

    /// ID and `order_id` of every entry, in stream order.
    pub(crate) async fn stored(&self) -> Vec<(String, String)> {
        let entries: Vec<(String, Vec<(String, String)>)> =
            self.redis(&format!("XRANGE {} - +", self.stream)).await;
        let order = |fields: Vec<(String, String)>| fields.into_iter().find(|(name, _)| name == "order_id");
        entries.into_iter().map(|(id, fields)| (id, order(fields).expect("an order").1)).collect()
    }

    pub(crate) async fn stored_orders(&self) -> Vec<String> {
        self.stored().await.into_iter().map(|(_, order)| order).collect()
    }

    /// Makes Redis hold back every write until [`Self::unpause_writes`].
    pub(crate) async fn pause_writes(&self) {
        let () = self.redis("CLIENT PAUSE 60000 WRITE").await;
    }

    /// Waits until a paused write has arrived at Redis.
    pub(crate) async fn write_is_held(&self) {
        testkit::eventually(HANG, "a write is held back", async || {
            let clients: String = self.redis("INFO clients").await;
            clients.contains("blocked_clients:1").then_some(())
        })
        .await;
    }

    pub(crate) async fn unpause_writes(&self) {
        let () = self.redis("CLIENT UNPAUSE").await;
    }
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text:?}"));
        Self { status, headers, body }
    }

    /// Checks that it is this problem, in the right form.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, kind: &str) {
        assert_eq!((self.status, self.body["type"].as_str()), (status, Some(kind)), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert!(self.body["title"].is_string() && self.body["detail"].is_string(), "{self:?}");
        assert_eq!(matches!(status, 429 | 503), self.headers.contains_key("retry-after"), "{self:?}");
    }

    /// Whether it says that everything had been stored before.
    pub(crate) fn is_replay(&self) -> bool {
        self.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
    }

    /// The IDs of a batch that was stored whole.
    #[track_caller]
    pub(crate) fn ids(&self) -> Vec<String> {
        assert_eq!(self.status, 201, "{self:?}");
        let ids = self.body["ids"].as_array().expect("ids");
        ids.iter().map(|id| id.as_str().expect("text").to_owned()).collect()
    }
}

/// A valid event.
pub(crate) fn event(order_id: &str) -> Value {
    json!({"type": "order.paid", "order_id": order_id, "customer": "alice", "amount": "49.5", "ts_ms": 1})
}

/// A batch of valid events, their orders `<name>-<index>`.
pub(crate) fn batch(name: &str, events: usize) -> Value {
    orders(name, events).iter().map(|order| event(order)).collect()
}

/// The same as lines.
pub(crate) fn lines(name: &str, events: usize) -> String {
    let lines: Vec<_> = orders(name, events).iter().map(|order| event(order).to_string()).collect();
    lines.join("\n") + "\n"
}

pub(crate) fn orders(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{name}-{index}")).collect()
}

/// The bytes of a POST of this body over a connection that is kept open.
pub(crate) fn raw_post(body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

/// Long enough for a busy machine, short of a hang.
pub(crate) const SLACK: Duration = Duration::from_secs(3);
