//! The service under test together with its Redis, as a client and an operator see them.

use std::{
    fs::{File, read_to_string},
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime},
};

use redis::aio::MultiplexedConnection;
use serde_json::Value;
use tempfile::NamedTempFile;
use testkit::{RedisServer, eventually, free_port};

/// How long anything that should happen soon may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A ready analytics-worker with a server and a stream of its own.
pub(crate) struct Worker {
    child: Child,
    _redis: RedisServer,
    pub(crate) connection: MultiplexedConnection,
    pub(crate) stream: String,
    pub(crate) port: u16,
    pub(crate) ops_port: u16,
    /// What it has written.
    pub(crate) log: NamedTempFile,
}

impl Worker {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts with these settings, `SECTION__KEY` and value.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let redis = RedisServer::start().await;
        let stream = redis.unique_stream("orders");
        let (port, ops_port) = (free_port(), free_port());
        let log = NamedTempFile::new().expect("a log file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_analytics-worker"));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.contains("REDIS") || name.starts_with("ORDERFLOW")) {
                command.env_remove(name);
            }
        }
        let file: File = log.reopen().expect("the log can be opened");
        let child = command
            .env_remove("RUST_LOG")
            .env("ORDERFLOW__REDIS__URL", redis.url())
            .env("ORDERFLOW__STREAM__KEY", &stream)
            .env("ORDERFLOW__ANALYTICS__LISTEN", format!("127.0.0.1:{port}"))
            .env("ORDERFLOW__ANALYTICS__OPS_LISTEN", format!("127.0.0.1:{ops_port}"))
            .envs(settings.iter().map(|(key, value)| (format!("ORDERFLOW__{key}"), value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the binary runs");
        let worker =
            Self { child, connection: redis.connection().await, _redis: redis, stream, port, ops_port, log };
        let url = format!("http://127.0.0.1:{ops_port}/readyz");
        eventually(SOON, "the worker is ready", async || match reqwest::get(&url).await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(answer.text().await.unwrap_or_default()),
            Err(error) => {
                Err(format!("{error}; its log:\n{}", read_to_string(worker.log.path()).unwrap_or_default()))
            }
        })
        .await;
        worker
    }

    /// Status, content type and body of an answer.
    pub(crate) async fn ask(&self, path: &str) -> (u16, String, Value) {
        let url = format!("http://127.0.0.1:{}/v1/analytics{path}", self.port);
        let answer = reqwest::get(url).await.expect("an answer");
        let content_type = answer.headers()["content-type"].to_str().expect("text").to_owned();
        (answer.status().as_u16(), content_type, answer.json().await.expect("JSON"))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, _, body) = self.ask(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// The values of a series.
    pub(crate) async fn values(&self, query: &str) -> Vec<Value> {
        let series = self.get(&format!("/timeseries?{query}")).await;
        series["points"].as_array().expect("points").iter().map(|point| point["value"].clone()).collect()
    }

    /// A parameter that is refused, and with what message.
    pub(crate) async fn refused(&self, path: &str) -> (String, String) {
        let (status, content_type, body) = self.ask(path).await;
        let is = (status, content_type.as_str(), body["type"].as_str());
        assert_eq!(is, (400, "application/problem+json", Some("/problems/invalid-query")), "{path}");
        let text = |member: &str| body["errors"][0][member].as_str().expect("text").to_owned();
        (text("parameter"), text("message"))
    }

    /// Appends a paid order for each customer and event time, and waits until all of the stream is counted.
    pub(crate) async fn paid(&mut self, orders: &[(&str, i64)]) {
        for (customer, ts_ms) in orders {
            let mut xadd = redis::cmd("XADD");
            xadd.arg(&self.stream).arg("*").arg("order_id").arg(format!("o-{ts_ms}"));
            xadd.arg("type").arg("order.paid").arg("customer").arg(customer);
            xadd.arg("amount").arg("2.50").arg("ts_ms").arg(ts_ms);
            let _: String = xadd.query_async(&mut self.connection).await.expect("it is appended");
        }
        let length: i64 =
            redis::cmd("XLEN").arg(&self.stream).query_async(&mut self.connection).await.expect("a length");
        let worker = &*self;
        eventually(SOON, "every event is counted", async || {
            let events = worker.get("/summary").await["events"].clone();
            if events == length { Ok(()) } else { Err(events.to_string()) }
        })
        .await;
    }

    /// Removes the minutes of every day, as if their time to live had passed.
    pub(crate) async fn expire_minutes(&mut self) {
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("*analytics:minutes:*")
            .query_async(&mut self.connection)
            .await
            .expect("keys");
        assert!(!keys.is_empty());
        let removed: usize =
            redis::cmd("DEL").arg(&keys).query_async(&mut self.connection).await.expect("they are removed");
        assert_eq!(removed, keys.len());
    }

    /// ID and last command of each of the server's clients.
    pub(crate) async fn clients(&self) -> Vec<(String, String)> {
        let mut connection = self.connection.clone();
        let list: String =
            redis::cmd("CLIENT").arg("LIST").query_async(&mut connection).await.expect("a list");
        let field = |line: &str, name: &str| {
            line.split(' ').find_map(|field| field.strip_prefix(name)).unwrap_or_default().to_owned()
        };
        list.lines().map(|line| (field(line, "id="), field(line, "cmd="))).collect()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
    since.as_millis() as i64
}
