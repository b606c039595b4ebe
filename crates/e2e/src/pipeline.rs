//! [`Pipeline`]: a Redis server and the services of one test, on ports of their own.

use std::{collections::HashMap, process::Stdio, time::Duration};

use redis::aio::MultiplexedConnection;
use serde_json::Value;
use tempfile::TempDir;
use testkit::{RedisServer, TcpProxy, eventually, free_port};
use tokio::process::Command;

use crate::{Service, binary, users};

/// A service of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// producer-api.
    Producer,
    /// notifications-worker.
    Notifications,
    /// analytics-worker.
    Analytics,
    /// reaper.
    Reaper,
    /// console.
    Console,
    /// Not a service: the example `probe_worker`, a worker of the group `notifications` whose entries say how they
    /// are to be handled. Built with the tests.
    Probe,
}

impl Role {
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::Producer => "producer-api",
            Self::Notifications => "notifications-worker",
            Self::Analytics => "analytics-worker",
            Self::Reaper => "reaper",
            Self::Console => "console",
            Self::Probe => "examples/probe_worker",
        }
    }

    /// Its user in Redis.
    pub const fn user(self) -> &'static str {
        match self {
            Self::Probe => Self::Notifications.program(),
            role => role.program(),
        }
    }

    pub(crate) const fn section(self) -> &'static str {
        match self {
            Self::Producer => "PRODUCER",
            Self::Notifications | Self::Probe => "NOTIFICATIONS",
            Self::Analytics => "ANALYTICS",
            Self::Reaper => "REAPER",
            Self::Console => "CONSOLE",
        }
    }
}

/// One test's pipeline. Everything ends when it is dropped.
#[derive(Debug)]
pub struct Pipeline {
    /// Its Redis server.
    pub redis: RedisServer,
    /// The stream's key.
    pub stream: String,
    settings: Vec<(String, String)>,
    public: HashMap<Role, u16>,
    logs: TempDir,
    started: usize,
}

/// Those that have a public port.
const PUBLIC: [Role; 3] = [Role::Producer, Role::Analytics, Role::Console];

/// How long anything that should happen soon may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

impl Pipeline {
    /// A pipeline on a server without persistence.
    pub async fn new() -> Self {
        Self::on(RedisServer::start().await)
    }

    /// A pipeline on this server. Claims are quick, so that recovery is. Each service comes as a user of its own, who may do
    /// no more than it needs to; tests come as the default user.
    pub fn on(mut redis: RedisServer) -> Self {
        redis.set_users(&users::users());
        let mut pipeline = Self {
            stream: "events:orders".to_owned(),
            settings: Vec::new(),
            public: HashMap::from(PUBLIC.map(|role| (role, free_port()))),
            logs: TempDir::with_prefix("orderflow-e2e-").expect("a temporary directory can be made"),
            started: 0,
            redis,
        };
        let url = pipeline.redis.url();
        pipeline.set("ORDERFLOW__REDIS__URL", &url);
        pipeline.set("ORDERFLOW__WORKER__CLAIM_MIN_IDLE", "1s");
        pipeline.set("ORDERFLOW__WORKER__CLAIM_INTERVAL", "300ms");
        pipeline.set("ORDERFLOW__WORKER__LEASE_TTL", "2s");
        pipeline.set("ORDERFLOW__WORKER__LEASE_RENEW_INTERVAL", "400ms");
        pipeline.set("ORDERFLOW__REAPER__INTERVAL", "500ms");
        pipeline.set("ORDERFLOW__REAPER__LEASE_TTL", "2s");
        for role in PUBLIC {
            let listen = format!("127.0.0.1:{}", pipeline.public[&role]);
            pipeline.set(&format!("ORDERFLOW__{}__LISTEN", role.section()), &listen);
        }
        for role in [Role::Producer, Role::Analytics] {
            let url = pipeline.url(role, "");
            pipeline.set(&format!("ORDERFLOW__CONSOLE__{}_URL", role.section()), &url);
        }
        pipeline
    }

    /// A setting of every service that is started from here on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// Takes a setting back, the pipeline's own ones too.
    pub fn unset(&mut self, key: &str) {
        self.settings.retain(|(known, _)| known != key);
    }

    /// Starts a service; it may not be ready yet.
    pub fn start(&mut self, role: Role) -> Service {
        self.start_named(role, &[])
    }

    /// Starts a service whose consumers have these names, or the default ones if there are none.
    pub fn start_named(&mut self, role: Role, consumers: &[&str]) -> Service {
        self.started += 1;
        let ops_port = free_port();
        let mut settings = self.settings.clone();
        let ops_listen = format!("127.0.0.1:{ops_port}");
        settings.push((format!("ORDERFLOW__{}__OPS_LISTEN", role.section()), ops_listen));
        if !consumers.is_empty() {
            settings.push(("ORDERFLOW__WORKER__NAMES".to_owned(), consumers.join(",")));
        }
        for (_, url) in settings.iter_mut().filter(|(key, _)| key == "ORDERFLOW__REDIS__URL") {
            *url = as_user(role, url);
        }
        let log = self.logs.path().join(format!("{role:?}-{}.log", self.started));
        Service::spawn(role.program(), &settings, log, ops_port)
    }

    /// Starts services and waits until all are ready.
    pub async fn start_all<const N: usize>(&mut self, roles: [Role; N]) -> [Service; N] {
        let mut services = roles.map(|role| self.start(role));
        for service in &mut services {
            service.ready().await;
        }
        services
    }

    /// Runs a program to its end, with the settings of the services and these beside them: whether it succeeded, and
    /// what it said.
    ///
    /// # Panics
    ///
    /// If it cannot be started, or does not end.
    pub async fn run(&self, program: &str, args: &[&str], more: &[(&str, &str)]) -> (bool, String) {
        let mut command = Command::new(binary(program));
        command.env_remove("REDIS_URL").env_remove("RUST_LOG").args(args).stdin(Stdio::null());
        command.envs(self.settings.iter().map(|(key, value)| (key, value))).envs(more.iter().copied());
        let ended = tokio::time::timeout(SOON, command.kill_on_drop(true).output()).await;
        let output = ended.expect("it ends").expect("it can be started");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Where the services reach Redis through a proxy from here on.
    pub fn reach_redis_through(&mut self, proxy: &TcpProxy) {
        self.set("ORDERFLOW__REDIS__URL", &proxy.url());
    }

    /// A URL of producer-api, of analytics-worker or of the console.
    ///
    /// # Panics
    ///
    /// If the role has no public port.
    pub fn url(&self, role: Role, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.public[&role])
    }

    /// Posts a body to producer-api; the status and the answer.
    pub async fn post(&self, body: String) -> (u16, Value) {
        let request = reqwest::Client::new().post(self.url(Role::Producer, "/v1/events"));
        let answer = request.header("content-type", "application/json").body(body).send().await;
        let answer = answer.expect("producer-api answers");
        (answer.status().as_u16(), answer.json().await.expect("the answer is JSON"))
    }

    /// Posts a body to producer-api with further headers; the answer.
    pub async fn post_with(&self, headers: &[(&str, &str)], body: String) -> reqwest::Response {
        let mut request = reqwest::Client::new().post(self.url(Role::Producer, "/v1/events")).body(body);
        for (name, value) in headers.iter().chain(&[("content-type", "application/json")]) {
            request = request.header(*name, *value);
        }
        request.send().await.expect("producer-api answers")
    }

    /// An entry's fields.
    pub async fn entry(&self, id: &str) -> HashMap<String, String> {
        let mut connection = self.connection().await;
        let range = redis::cmd("XRANGE").arg(&self.stream).arg(id).arg(id).to_owned();
        let entries: Vec<(String, HashMap<String, String>)> =
            range.query_async(&mut connection).await.expect("XRANGE succeeds");
        entries.into_iter().next().expect("the entry is there").1
    }

    /// Asks analytics-worker.
    pub async fn analytics(&self, path: &str) -> Value {
        let answer = reqwest::get(self.url(Role::Analytics, path)).await.expect("analytics-worker answers");
        answer.json().await.expect("the answer is JSON")
    }

    /// A connection to the server, as another tool would have it.
    pub async fn connection(&self) -> MultiplexedConnection {
        self.redis.connection().await
    }

    /// Appends an entry as redis-cli would.
    pub async fn xadd(&self, fields: &[(&str, &str)]) -> String {
        let mut cmd = redis::cmd("XADD");
        cmd.arg(&self.stream).arg("*");
        for (field, value) in fields {
            cmd.arg(field).arg(value);
        }
        cmd.query_async(&mut self.connection().await).await.expect("XADD succeeds")
    }

    /// Waits until every group has been delivered everything and has acked it.
    pub async fn settled(&self) {
        self.settled_by(&["notifications", "analytics"]).await;
    }

    /// Waits until these groups have been delivered everything and have acked it.
    pub async fn settled_by(&self, groups: &[&str]) {
        let mut connection = self.connection().await;
        eventually(SOON, &format!("{groups:?} have settled everything"), async || {
            let last = last_id(&mut connection, &self.stream).await;
            for group in groups {
                let (delivered, pending) = position(&mut connection, &self.stream, group).await?;
                // Retention may have taken everything that was acked.
                let is_behind = last.as_ref().is_some_and(|last| delivered != *last);
                if is_behind || pending != 0 {
                    return Err(format!("{group}: delivered {delivered} of {last:?}, {pending} pending"));
                }
            }
            Ok(())
        })
        .await;
    }

    /// Lets a good entry die in a group, as a faulty release of its handler would have it.
    pub async fn let_die(&self, group: &str, id: &str) {
        let mut connection = self.connection().await;
        let entries: Vec<(String, Vec<String>)> = redis::cmd("XRANGE")
            .arg(&self.stream)
            .arg(id)
            .arg(id)
            .query_async(&mut connection)
            .await
            .expect("XRANGE succeeds");
        let mut letter = redis::cmd("XADD");
        letter.arg(format!("{{{}}}:dlq:{group}", self.stream)).arg("*");
        for (name, value) in [
            ("_dl_id", id),
            ("_dl_group", group),
            ("_dl_consumer", "worker-a"),
            ("_dl_deliveries", "5"),
            ("_dl_reason", "max_deliveries"),
            ("_dl_error", "smtp: no route to host"),
            ("_dl_time_ms", "1716998413541"),
        ] {
            letter.arg(name).arg(value);
        }
        letter.arg(&entries[0].1);
        letter.query_async::<String>(&mut connection).await.expect("XADD succeeds");
    }

    /// The dead letters of a group, each as its fields.
    pub async fn dead_letters(&self, group: &str) -> Vec<HashMap<String, String>> {
        let key = format!("{{{}}}:dlq:{group}", self.stream);
        let entries: Vec<(String, HashMap<String, String>)> = redis::cmd("XRANGE")
            .arg(key)
            .arg("-")
            .arg("+")
            .query_async(&mut self.connection().await)
            .await
            .expect("XRANGE succeeds");
        entries.into_iter().map(|(_, fields)| fields).collect()
    }

    /// The names of a group's consumers.
    pub async fn consumers(&self, group: &str) -> Vec<String> {
        let consumers: Vec<HashMap<String, redis::Value>> = redis::cmd("XINFO")
            .arg("CONSUMERS")
            .arg(&self.stream)
            .arg(group)
            .query_async(&mut self.connection().await)
            .await
            .expect("XINFO CONSUMERS succeeds");
        let name = |consumer: &HashMap<String, redis::Value>| {
            consumer.get("name").and_then(|name| redis::from_redis_value_ref(name).ok())
        };
        consumers.iter().filter_map(name).collect()
    }

    /// Pending entries of a group: ID, consumer, idle ms, deliveries.
    pub async fn pending(&self, group: &str) -> Vec<(String, String, u64, u64)> {
        redis::cmd("XPENDING")
            .arg(&self.stream)
            .arg(group)
            .arg("-")
            .arg("+")
            .arg(10_000)
            .query_async(&mut self.connection().await)
            .await
            .expect("XPENDING succeeds")
    }
}

/// The URL with the credentials of a service's user; as it is, if it has some.
fn as_user(role: Role, url: &str) -> String {
    match url.strip_prefix("redis://") {
        Some(rest) if !rest.contains('@') => {
            format!("redis://{}:{}@{rest}", role.user(), users::password(role.user()))
        }
        _ => url.to_owned(),
    }
}

/// The newest entry's ID, `None` if there is no entry.
async fn last_id(connection: &mut MultiplexedConnection, stream: &str) -> Option<String> {
    let newest: Vec<(String, HashMap<String, String>)> = redis::cmd("XREVRANGE")
        .arg(stream)
        .arg("+")
        .arg("-")
        .arg("COUNT")
        .arg(1)
        .query_async(connection)
        .await
        .unwrap_or_default();
    newest.into_iter().next().map(|(id, _)| id)
}

/// A group's last delivered ID and its number of pending entries.
async fn position(
    connection: &mut MultiplexedConnection,
    stream: &str,
    group: &str,
) -> Result<(String, u64), String> {
    let groups: Vec<HashMap<String, redis::Value>> = redis::cmd("XINFO")
        .arg("GROUPS")
        .arg(stream)
        .query_async(connection)
        .await
        .map_err(|error| error.to_string())?;
    for info in groups {
        let text = |name: &str| info.get(name).and_then(|value| redis::from_redis_value_ref(value).ok());
        if text("name") == Some(group.to_owned()) {
            let pending = text("pending").and_then(|text: String| text.parse().ok());
            return Ok((text("last-delivered-id").unwrap_or_default(), pending.unwrap_or(u64::MAX)));
        }
    }
    Err(format!("there is no group {group}"))
}
