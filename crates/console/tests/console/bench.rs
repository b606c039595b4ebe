//! A Redis, a console, and whatever runs beside it; all gone when it is dropped.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use reqwest::Method;
use serde_json::Value;
use stream_core::{ConnectSettings, Connector, EventStream, StreamId, StreamKey};
use tempfile::TempDir;
use testkit::{RedisServer, eventually, free_port};

use crate::http::{Answer, Client};

pub(crate) const ADMIN_TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Long enough for a machine that builds meanwhile.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A service that runs as a process of its own, killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    /// Where health and metrics are.
    pub(crate) ops: String,
}

impl Service {
    /// Starts the binary at `path` with these settings, and `section.ops_listen` at a free port.
    pub(crate) fn start(path: &Path, section: &str, settings: &[(String, String)]) -> Self {
        assert!(path.exists(), "there is no {}: build it first (cargo build --bins)", path.display());
        let ops = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(path);
        for (name, _) in std::env::vars() {
            if name.contains("REDIS") || name.starts_with("ORDERFLOW") || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        command.envs(settings.iter().map(|(key, value)| (format!("ORDERFLOW__{key}"), value)));
        command.env(format!("ORDERFLOW__{section}__OPS_LISTEN"), &ops);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        Self { child, ops }
    }

    pub(crate) async fn ready(&self) {
        let url = format!("http://{}/readyz", self.ops);
        let probe = async || match reqwest::get(&url).await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(answer.text().await.unwrap_or_default()),
            Err(error) => Err(error.to_string()),
        };
        eventually(SOON, "the service is ready", probe).await;
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Either fails only if it is gone already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A binary beside the console's.
pub(crate) fn sibling(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_console")).with_file_name(name)
}

/// The console and its Redis.
pub(crate) struct Bench {
    pub(crate) server: RedisServer,
    pub(crate) connector: Connector,
    pub(crate) stream: EventStream,
    pub(crate) console: Service,
    pub(crate) client: Client,
    settings: Vec<(String, String)>,
    _dir: TempDir,
}

impl Bench {
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let bench = Self::without_waiting(settings).await;
        bench.console.ready().await;
        bench
    }

    /// A console whose Redis is not there, and never was.
    pub(crate) async fn away(url: &str) -> Self {
        let bench = Self::without_waiting(&[("REDIS__URL", url)]).await;
        let answers = async || bench.client.request(Method::GET, "/api/session").send().await.ok();
        eventually(SOON, "the console answers", answers).await;
        bench
    }

    async fn without_waiting(settings: &[(&str, &str)]) -> Self {
        let server = RedisServer::start().await;
        let key = server.unique_stream("orders");
        let connect = ConnectSettings { url: server.url(), ..ConnectSettings::default() };
        let connector = Connector::new(connect).unwrap();
        let stream = EventStream::new(connector.commands().unwrap(), StreamKey::new(&key).unwrap());
        let listen = format!("127.0.0.1:{}", free_port());
        let all: Vec<(String, String)> = [
            ("REDIS__URL", server.url().as_str()),
            ("STREAM__KEY", &key),
            ("ADMIN__TOKEN", ADMIN_TOKEN),
            ("CONSOLE__LISTEN", &listen),
            ("WORKER__CLAIM_MIN_IDLE", "300ms"),
            ("WORKER__LEASE_RENEW_INTERVAL", "100ms"),
        ]
        .iter()
        .chain(settings)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
        let dir = tempfile::tempdir().unwrap();
        let console = Service::start(Path::new(env!("CARGO_BIN_EXE_console")), "CONSOLE", &all);
        let client = Client::new(&format!("http://{listen}"));
        Self { server, connector, stream, console, client, settings: all, _dir: dir }
    }

    /// The settings of the console, for services that run beside it.
    pub(crate) fn settings(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.settings.iter().cloned().chain(more).collect()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.client.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.client.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.client.send(Method::DELETE, path, None).await
    }

    /// The state, as it is now.
    pub(crate) async fn state(&self) -> Value {
        self.get("/api/state").await.ok()
    }

    /// What the state says of a consumer.
    pub(crate) async fn consumer(&self, group: &str, name: &str) -> Option<Value> {
        let state = self.state().await;
        let group = state["groups"].as_array()?.iter().find(|it| it["name"] == group)?.clone();
        group["consumers"].as_array()?.iter().find(|it| it["name"] == name).cloned()
    }

    /// Waits until so many entries of a group have been idle for long enough to be claimed, all of them at once.
    pub(crate) async fn idle(&self, group: &str, count: usize) {
        let path = format!("/api/groups/{group}/pending?min_idle_ms=300");
        let idle = async || {
            let pending = self.get(&path).await.ok();
            if pending["entries"].as_array().unwrap().len() == count {
                Ok(())
            } else {
                Err(pending.to_string())
            }
        };
        eventually(SOON, "the entries are idle for long enough", idle).await;
    }

    /// Appends an order event.
    pub(crate) async fn append(&self, order_id: &str, does: &str) -> StreamId {
        let fields = [
            ("type", "order.paid"),
            ("order_id", order_id),
            ("customer", "alice"),
            ("amount", "5.00"),
            ("does", does),
        ];
        self.stream.append(fields).await.unwrap()
    }
}
