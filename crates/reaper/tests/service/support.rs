//! A server, a reaper process with quick settings, and a look at what it shows and logs.

use std::{fs::File, process::Stdio, time::Duration};

use redis::{FromRedisValue, ToRedisArgs, aio::MultiplexedConnection};
use tempfile::TempDir;
use testkit::{RedisServer, eventually, free_port};
use tokio::process::{Child, Command};

/// Longer than anything takes on a busy machine; a test that waits so long has failed.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) const STREAM: &str = "events:orders";

/// A managed group: retention waits for it by default.
pub(crate) const GROUP: &str = "notifications";

/// A server and a connection to it.
pub(crate) struct Bench {
    pub(crate) server: RedisServer,
    raw: MultiplexedConnection,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::on(RedisServer::start().await).await
    }

    pub(crate) async fn on(server: RedisServer) -> Self {
        let raw = server.connection().await;
        Self { server, raw }
    }

    /// Connects anew, after a restart.
    pub(crate) async fn reconnect(&mut self) {
        self.raw = self.server.connection().await;
    }

    /// Sends a command, its words separated by single spaces.
    pub(crate) async fn cmd<T: FromRedisValue>(&self, line: &str) -> T {
        self.words(&line.split(' ').collect::<Vec<_>>()).await
    }

    /// Sends a command of words that may hold anything.
    pub(crate) async fn words<T: FromRedisValue, W: ToRedisArgs>(&self, words: &[W]) -> T {
        let mut cmd = redis::Cmd::new();
        for word in words {
            cmd.arg(word);
        }
        cmd.query_async(&mut self.raw.clone()).await.expect("the command succeeds")
    }

    /// Appends so many entries, all decades old, with the IDs 1-1, 2-1, ….
    pub(crate) async fn append_old(&self, count: usize) {
        self.append_old_from(1, count).await;
    }

    /// The same, from one number to another.
    pub(crate) async fn append_old_from(&self, first: usize, last: usize) {
        let script = "for i = ARGV[1], ARGV[2] do redis.call('XADD', KEYS[1], i .. '-1', 'n', i) end";
        self.words::<(), _>(&["EVAL", script, "1", STREAM, &first.to_string(), &last.to_string()]).await;
    }

    /// Creates the group and delivers so many entries to a consumer that will never ack them.
    pub(crate) async fn deliver(&self, group: &str, count: usize) {
        self.cmd::<()>(&format!("XGROUP CREATE {STREAM} {group} 0 MKSTREAM")).await;
        let script = "return #redis.call('XREADGROUP', 'GROUP', ARGV[1], 'gone', 'COUNT', ARGV[2], 'STREAMS', KEYS[1], '>')";
        self.words::<i64, _>(&["EVAL", script, "1", STREAM, group, &count.to_string()]).await;
    }

    /// A reaper with these settings beside the quick ones; it may not be ready yet.
    pub(crate) fn reaper(&self, settings: &[(&str, &str)]) -> Reaper {
        let ops_port = free_port();
        let dir = TempDir::with_prefix("orderflow-reaper-").expect("a temporary directory");
        let log = File::create(dir.path().join("log")).expect("a log file");
        let child = Command::new(env!("CARGO_BIN_EXE_reaper"))
            .env_remove("REDIS_URL")
            .env_remove("RUST_LOG")
            .env("ORDERFLOW__REDIS__URL", self.server.url())
            .env("ORDERFLOW__REAPER__OPS_LISTEN", format!("127.0.0.1:{ops_port}"))
            .env("ORDERFLOW__REAPER__INTERVAL", "200ms")
            .env("ORDERFLOW__REAPER__LEASE_TTL", "1s")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the reaper starts");
        Reaper { _child: child, dir, ops_port }
    }
}

/// A running reaper. Killed when dropped.
pub(crate) struct Reaper {
    _child: Child,
    dir: TempDir,
    ops_port: u16,
}

impl Reaper {
    /// Status and text of a page of its ops port.
    pub(crate) async fn page(&self, path: &str) -> Result<(u16, String), String> {
        let url = format!("http://127.0.0.1:{}{path}", self.ops_port);
        let answer = reqwest::get(url).await.map_err(|error| format!("{error}; {}", self.log()))?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.map_err(|error| error.to_string())?))
    }

    /// The value of a series now, if there is such a series.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let (_, text) = self.page("/metrics").await.ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.trim().parse().expect("a metric is a number"))
    }

    /// Waits until a series is as `expected` says.
    pub(crate) async fn shows(&self, series: &str, expected: impl Fn(Option<f64>) -> bool) {
        eventually(SOON, &format!("{series} is as expected"), async || {
            let value = self.metric(series).await;
            if expected(value) { Ok(()) } else { Err(format!("{value:?}; log:\n{}", self.log())) }
        })
        .await;
    }

    pub(crate) async fn is_active(&self) {
        self.shows("reaper_leader", |value| value == Some(1.0)).await;
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).expect("the log can be read")
    }

    /// Lines of the log that contain all of these.
    pub(crate) fn logged(&self, parts: &[&str]) -> usize {
        self.log().lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }
}
