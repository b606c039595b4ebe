//! The service under test with a Redis of its own.

use std::{fs::read_to_string, process::Stdio, time::Duration};

use redis::{aio::MultiplexedConnection, cmd};
use tempfile::NamedTempFile;
use testkit::{RedisServer, eventually, free_port};
use tokio::process::{Child, Command};

/// How long anything that should happen soon may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_mins(1);

const GROUP: &str = "notifications";

/// A server, a stream and the settings of the workers.
pub(crate) struct Bench {
    redis: RedisServer,
    pub(crate) connection: MultiplexedConnection,
    pub(crate) stream: String,
    settings: Vec<(String, String)>,
}

impl Bench {
    /// With settings as `SECTION__KEY`.
    pub(crate) async fn start(settings: Vec<(String, String)>) -> Self {
        // The tests' own HTTP client asks for one.
        testkit::install_tls_provider();
        let redis = RedisServer::start().await;
        let (connection, stream) = (redis.connection().await, redis.unique_stream("orders"));
        Self { redis, connection, stream, settings }
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// A worker that is ready.
    pub(crate) async fn worker(&self) -> Worker {
        self.worker_with(&[]).await
    }

    /// The same, with further variables in its environment.
    pub(crate) async fn worker_with(&self, variables: &[(&str, &str)]) -> Worker {
        let worker = self.spawn_with(variables);
        let url = worker.ops_url("/readyz");
        eventually(SOON, "the worker is ready", async || match reqwest::get(&url).await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(answer.text().await.unwrap_or_default()),
            Err(error) => Err(format!("{error}; its log:\n{}", worker.log())),
        })
        .await;
        worker
    }

    /// A worker, just started.
    pub(crate) fn spawn(&self) -> Worker {
        self.spawn_with(&[])
    }

    fn spawn_with(&self, variables: &[(&str, &str)]) -> Worker {
        let ops_port = free_port();
        let log = NamedTempFile::new().expect("a log file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_notifications-worker"));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.contains("REDIS") || name.starts_with("ORDERFLOW")) {
                command.env_remove(name);
            }
        }
        let defaults = [
            ("REDIS__URL", self.redis.url()),
            ("STREAM__KEY", self.stream.clone()),
            ("NOTIFICATIONS__OPS_LISTEN", format!("127.0.0.1:{ops_port}")),
            ("NOTIFICATIONS__BREAKER_OPEN", "200ms".to_owned()),
            ("NOTIFICATIONS__BREAKER_OPEN_MAX", "400ms".to_owned()),
            ("WORKER__NAMES", "worker-a".to_owned()),
            ("WORKER__RETRY_BASE", "50ms".to_owned()),
            ("WORKER__CLAIM_MIN_IDLE", "2s".to_owned()),
            ("WORKER__LEASE_RENEW_INTERVAL", "500ms".to_owned()),
        ];
        let defaults = defaults.into_iter().map(|(key, value)| (key.to_owned(), value));
        for (key, value) in defaults.chain(self.settings.iter().cloned()) {
            command.env(format!("ORDERFLOW__{key}"), value);
        }
        let child = command
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen().expect("the log can be opened"))
            .kill_on_drop(true)
            .spawn()
            .expect("the binary runs");
        Worker { child, log, ops_port }
    }

    /// Appends a paid order with further fields; returns its ID.
    pub(crate) async fn paid(&self, order: &str, further: &[(&str, &str)]) -> String {
        self.event("order.paid", order, further).await
    }

    pub(crate) async fn event(&self, event_type: &str, order: &str, further: &[(&str, &str)]) -> String {
        let mut xadd = cmd("XADD");
        xadd.arg(&self.stream).arg("*").arg("type").arg(event_type).arg("order_id").arg(order);
        xadd.arg("customer").arg("bob").arg("amount").arg("49.50");
        for (name, value) in further {
            xadd.arg(name).arg(value);
        }
        xadd.query_async(&mut self.connection.clone()).await.expect("it is appended")
    }

    /// Appends so many paid orders.
    pub(crate) async fn many(&self, count: usize) {
        let mut pipeline = redis::pipe();
        for index in 0..count {
            let xadd = pipeline.cmd("XADD").arg(&self.stream).arg("*").arg("type").arg("order.paid");
            xadd.arg("order_id").arg(format!("o-{index}")).arg("customer").arg("bob").arg("amount").arg(1);
        }
        let _: Vec<String> =
            pipeline.query_async(&mut self.connection.clone()).await.expect("they are appended");
    }

    /// The key of something that belongs to the stream.
    pub(crate) fn key(&self, suffix: &str) -> String {
        format!("{{{}}}:{suffix}", self.stream)
    }

    /// How many entries are pending.
    pub(crate) async fn pending(&self) -> u64 {
        let mut connection = self.connection.clone();
        let summary: redis::Value = cmd("XPENDING")
            .arg(&self.stream)
            .arg(GROUP)
            .query_async(&mut connection)
            .await
            .expect("a summary");
        let redis::Value::Array(summary) = summary else { panic!("{summary:?}") };
        redis::from_redis_value(summary[0].clone()).expect("a number")
    }

    /// Waits until every entry has been delivered, and none is pending.
    pub(crate) async fn settled(&self) {
        eventually(SOON, "everything is settled", async || {
            let delivered = self.delivered().await?;
            let pending = self.pending().await;
            if delivered && pending == 0 {
                Ok(())
            } else {
                Err(format!("all delivered: {delivered}, {pending} pending"))
            }
        })
        .await;
    }

    async fn delivered(&self) -> Result<bool, String> {
        let mut connection = self.connection.clone();
        let groups: Vec<std::collections::HashMap<String, redis::Value>> = cmd("XINFO")
            .arg("GROUPS")
            .arg(&self.stream)
            .query_async(&mut connection)
            .await
            .map_err(|error| error.to_string())?;
        let newest: Vec<(String, Vec<String>)> = cmd("XREVRANGE")
            .arg(&self.stream)
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .arg(1)
            .query_async(&mut connection)
            .await
            .map_err(|error| error.to_string())?;
        let Some(last) = groups.first().and_then(|group| group.get("last-delivered-id")) else {
            return Err("no group yet".to_owned());
        };
        let last: String = redis::from_redis_value(last.clone()).map_err(|error| error.to_string())?;
        Ok(newest.first().is_none_or(|(id, _)| *id == last))
    }

    /// Reason and error of each dead letter.
    pub(crate) async fn dead_letters(&self) -> Vec<(String, String)> {
        let mut connection = self.connection.clone();
        let letters: Vec<(String, Vec<String>)> = cmd("XRANGE")
            .arg(self.key("dlq:notifications"))
            .arg("-")
            .arg("+")
            .query_async(&mut connection)
            .await
            .expect("dead letters");
        let field = |fields: &[String], name: &str| {
            fields.chunks(2).find(|pair| pair[0] == name).map(|pair| pair[1].clone()).unwrap_or_default()
        };
        letters.iter().map(|(_, fields)| (field(fields, "_dl_reason"), field(fields, "_dl_error"))).collect()
    }

    /// Waits until there are so many dead letters.
    pub(crate) async fn dead(&self, count: usize) -> Vec<(String, String)> {
        eventually(SOON, "so many are dead letters", async || {
            let letters = self.dead_letters().await;
            if letters.len() >= count { Ok(letters) } else { Err(format!("{letters:?}")) }
        })
        .await
    }

    /// Delivery counts of what is pending.
    pub(crate) async fn delivery_counts(&self) -> Vec<u64> {
        let mut connection = self.connection.clone();
        let rows: Vec<(String, String, u64, u64)> = cmd("XPENDING")
            .arg(&self.stream)
            .arg(GROUP)
            .arg("-")
            .arg("+")
            .arg(10_000)
            .query_async(&mut connection)
            .await
            .expect("rows");
        rows.into_iter().map(|(_, _, _, count)| count).collect()
    }
}

/// A process of the service; killed when it is dropped.
pub(crate) struct Worker {
    child: Child,
    log: NamedTempFile,
    ops_port: u16,
}

impl Worker {
    pub(crate) fn log(&self) -> String {
        read_to_string(self.log.path()).unwrap_or_default()
    }

    fn ops_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ops_port)
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("its own child can be killed");
    }

    /// Waits for its end, and gives its exit code and its log.
    pub(crate) async fn ended(mut self) -> (Option<i32>, String) {
        let status =
            tokio::time::timeout(SOON, self.child.wait()).await.expect("it ends").expect("its status");
        (status.code(), self.log())
    }

    /// The value of one series.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let answer = reqwest::get(self.ops_url("/metrics")).await.expect("metrics are served");
        let text = answer.text().await.expect("metrics are text");
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{series} is not in\n{text}")).trim().parse().expect("a number")
    }

    /// Waits until a series has a value for which this holds.
    pub(crate) async fn metric_is(&self, series: &str, holds: impl Fn(f64) -> bool) {
        eventually(SOON, series, async || {
            let value = self.metric(series).await;
            if holds(value) { Ok(()) } else { Err(value.to_string()) }
        })
        .await;
    }

    /// The series of a channel's messages with this outcome.
    pub(crate) async fn sent(&self, channel: &str, outcome: &str) -> f64 {
        self.metric(&sent(channel, outcome)).await
    }
}

pub(crate) fn sent(channel: &str, outcome: &str) -> String {
    format!("notifications_sent_total{{channel=\"{channel}\",outcome=\"{outcome}\"}}")
}
