//! A server that refuses in every way it can: services say so, keep running, lose nothing and recover by themselves.

use std::{collections::HashMap, time::Duration};

use e2e::{Pipeline, Role, Service};
use nix::sys::signal::Signal;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use testkit::{RedisOptions, RedisServer, eventually, free_port};

/// Longer than any backoff on a busy machine.
const SOON: Duration = Duration::from_mins(1);
const ALL: [Role; 4] = [Role::Producer, Role::Notifications, Role::Analytics, Role::Reaper];

/// Every service against one server, and a connection that was there before the fault.
struct Rig {
    pipeline: Pipeline,
    services: [Service; 4],
    admin: MultiplexedConnection,
    /// Events answered 201, each of a cent.
    stored: u64,
}

impl Rig {
    async fn start(options: RedisOptions) -> Self {
        Self::on(Pipeline::on(options.start().await)).await
    }

    async fn on(mut pipeline: Pipeline) -> Self {
        pipeline.set("ORDERFLOW__LOG__FORMAT", "json");
        pipeline.set("ORDERFLOW__WORKER__CONSUMERS", "2");
        let admin = pipeline.connection().await;
        let services = pipeline.start_all(ALL).await;
        let mut rig = Self { pipeline, services, admin, stored: 0 };
        rig.store(20).await;
        rig.settled().await;
        rig
    }

    async fn cmd<T: redis::FromRedisValue>(&mut self, words: &[&str]) -> T {
        let mut cmd = redis::Cmd::new();
        cmd.arg(words);
        let reply = cmd.query_async(&mut self.admin).await;
        reply.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    async fn store(&mut self, count: u64) {
        let event = |n| json!({ "type": "order.paid", "order_id": format!("o-{n}"), "customer": "eve", "amount": "0.01" });
        let batch: Vec<Value> = (self.stored..self.stored + count).map(event).collect();
        let (status, answer) = self.pipeline.post(json!(batch).to_string()).await;
        assert_eq!(status, 201, "{answer}");
        self.stored += count;
    }

    /// An event is refused with this in its problem, and certainly not stored.
    async fn refused(&self, detail: &str) {
        let event = json!({ "type": "order.paid", "order_id": "refused", "customer": "eve", "amount": "5" });
        eventually(SOON, "the producer says what is wrong", async || {
            let (status, answer) = self.pipeline.post(event.to_string()).await;
            let clear = status == 503 && answer["stored"] == "no" && answer.to_string().contains(detail);
            if clear { Ok(()) } else { Err(format!("{status} {answer}")) }
        })
        .await;
    }

    /// Waits until no service is ready, each with this in its reasons.
    async fn all_unready(&self, reason: &str) {
        for service in &self.services {
            unready(service, reason).await;
        }
    }

    /// Waits until every service has counted this kind of failure.
    async fn all_count(&self, kind: &str) {
        for service in &self.services {
            counts(service, kind).await;
        }
    }

    /// All is well again: every service is ready and was never restarted, new events are taken, everything that was
    /// ever answered 201 is counted once, and no log was flooded.
    async fn recovers(&mut self) {
        for service in &mut self.services {
            ready(service).await;
        }
        self.store(20).await;
        self.settled().await;
        let summary = self.pipeline.analytics("/v1/analytics/summary").await;
        let revenue = format!("{}.{:02}", self.stored / 100, self.stored % 100);
        assert_eq!((&summary["events"], &summary["revenue"]), (&json!(self.stored), &json!(revenue)));
        for group in ["notifications", "analytics"] {
            assert_eq!(self.pipeline.dead_letters(group).await, []);
        }
        for service in &self.services {
            no_flood(&service.log());
        }
    }

    async fn settled(&self) {
        self.pipeline.settled().await;
    }
}

async fn reasons(service: &Service) -> Result<String, String> {
    let answer = reqwest::get(service.ops_url("/readyz")).await.map_err(|error| error.to_string())?;
    answer.text().await.map_err(|error| error.to_string())
}

async fn ready(service: &Service) {
    eventually(SOON, "the service is ready again", async || {
        let reasons = reasons(service).await?;
        if reasons.contains("\"ready\":true") { Ok(()) } else { Err(reasons) }
    })
    .await;
}

async fn unready(service: &Service, reason: &str) {
    eventually(SOON, &format!("the service is not ready: {reason}"), async || {
        let reasons = reasons(service).await?;
        let says = reasons.contains("\"ready\":false") && reasons.contains(reason);
        if says { Ok(()) } else { Err(reasons) }
    })
    .await;
}

async fn counts(service: &Service, kind: &str) {
    eventually(SOON, &format!("a failure of kind {kind} is counted"), async || {
        let count = service.metric(&format!("redis_errors_total{{kind=\"{kind}\"}}")).await;
        if count > 0.0 { Ok(()) } else { Err(service.log()) }
    })
    .await;
}

/// No warning comes more often than once a second, and for each of the two consumers at that.
fn no_flood(log: &str) {
    let mut lines: HashMap<(String, String), usize> = HashMap::new();
    for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if line["level"] == "WARN" || line["level"] == "ERROR" {
            let text = |member: &str| line[member].as_str().unwrap_or_default().to_owned();
            let second = text("timestamp").chars().take("2026-01-01T00:00:00".len()).collect();
            *lines.entry((second, text("message"))).or_default() += 1;
        }
    }
    assert!(lines.values().all(|count| *count <= 2), "{lines:#?} in:\n{log}");
}

#[tokio::test]
async fn a_rotated_password_is_picked_up_from_its_file() {
    let redis = RedisServer::start().await;
    let mut admin = redis.connection().await;
    let mut run = async |words: &[&str]| {
        let mut cmd = redis::Cmd::new();
        cmd.arg(words).query_async::<redis::Value>(&mut admin).await.unwrap();
    };
    run(&["ACL", "SETUSER", "services", "on", ">old", "~*", "&*", "+@all"]).await;
    let url = |password: &str| format!("redis://services:{password}@127.0.0.1:{}/", redis.port());
    let file = redis.dir().join("redis-url");
    let (old, new) = (url("old"), url("new"));
    std::fs::write(&file, old).unwrap();
    let mut pipeline = Pipeline::on(redis);
    pipeline.unset("ORDERFLOW__REDIS__URL");
    pipeline.set("ORDERFLOW__REDIS__URL__FILE", file.to_str().unwrap());
    let mut rig = Rig::on(pipeline).await;

    run(&["ACL", "SETUSER", "services", "resetpass", ">new"]).await;
    run(&["CLIENT", "KILL", "USER", "services"]).await;
    rig.all_unready("redis: ").await;
    rig.all_count("auth").await;
    rig.refused("login").await;
    std::fs::write(&file, new + "\n").unwrap();
    rig.recovers().await;
    assert!(
        rig.services.iter().all(|service| !service.log().contains("old@") && !service.log().contains("new@"))
    );
}

#[tokio::test]
async fn a_server_without_room_for_connections_is_waited_for() {
    let mut rig = Rig::start(RedisServer::builder()).await;
    rig.cmd::<()>(&["CONFIG", "SET", "maxclients", "1"]).await;
    rig.cmd::<i64>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    rig.all_unready("redis: ").await;
    rig.all_count("max_clients").await;
    rig.cmd::<()>(&["CONFIG", "SET", "maxclients", "10000"]).await;
    rig.recovers().await;
}

#[tokio::test]
async fn a_full_server_is_drained_while_producers_are_refused() {
    let mut pipeline = Pipeline::on(RedisServer::builder().start().await);
    // Without a hard cap, which would answer 429 before the server itself refuses.
    pipeline.set("ORDERFLOW__RETENTION__POLICY", "maxlen");
    let mut rig = Rig::on(pipeline).await;
    let [_, notifications, analytics, _] = &rig.services;
    for worker in [notifications, analytics] {
        worker.freeze().await;
    }
    rig.store(500).await;
    rig.cmd::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    rig.refused("out of memory").await;
    let [producer, notifications, analytics, _] = &rig.services;
    counts(producer, "out_of_memory").await;
    for worker in [notifications, analytics] {
        worker.signal(Signal::SIGCONT);
    }
    rig.settled().await;
    for worker in [notifications, analytics] {
        ready(worker).await;
    }
    rig.refused("out of memory").await;
    rig.cmd::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    rig.recovers().await;
}

#[tokio::test]
async fn a_server_that_became_a_replica_is_told_until_it_is_none() {
    let mut rig = Rig::start(RedisServer::builder()).await;
    // Nobody listens there, so that it keeps its data.
    rig.cmd::<()>(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]).await;
    rig.all_unready("replica").await;
    rig.refused("no writes").await;
    rig.all_count("read_only").await;
    rig.cmd::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    rig.recovers().await;
}

#[tokio::test]
async fn a_server_that_cannot_persist_is_told_until_it_can() {
    // With save points, a snapshot that failed makes the server refuse writes (stop-writes-on-bgsave-error).
    let options = RedisServer::builder().arg("--save", ["3600 1000000"]).arg("--dbfilename", ["taken"]);
    let mut rig = Rig::start(options).await;
    let taken = rig.pipeline.redis.dir().join("taken");
    std::fs::create_dir(&taken).unwrap();
    snapshot(&mut rig, "rdb_last_bgsave_status:err").await;
    rig.all_unready("MISCONF").await;
    rig.all_count("read_only").await;
    rig.refused("no writes").await;
    std::fs::remove_dir(&taken).unwrap();
    snapshot(&mut rig, "rdb_last_bgsave_status:ok").await;
    rig.recovers().await;
}

/// Takes a snapshot and waits until it has ended so.
async fn snapshot(rig: &mut Rig, ended: &str) {
    rig.cmd::<redis::Value>(&["BGSAVE"]).await;
    eventually(SOON, ended, async || {
        let info: String = rig.cmd(&["INFO", "persistence"]).await;
        if info.contains("rdb_bgsave_in_progress:0") && info.contains(ended) { Ok(()) } else { Err(info) }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_loads_its_data_is_waited_for() {
    // Half a millisecond for each command that is loaded.
    let options = RedisServer::builder().append_only(true).arg("--key-load-delay", ["500"]);
    let mut rig = Rig::start(options).await;
    let mut many = redis::pipe();
    for n in 0..8_000 {
        many.cmd("SET").arg(format!("ballast:{n}")).arg(n).ignore();
    }
    many.query_async::<()>(&mut rig.admin).await.unwrap();
    rig.pipeline.redis.restart().await;
    rig.admin = rig.pipeline.connection().await;
    rig.all_count("loading").await;
    rig.recovers().await;
}

#[tokio::test]
async fn something_else_at_the_streams_key_is_told_until_it_is_gone() {
    let mut rig = Rig::start(RedisServer::builder()).await;
    let stream = rig.pipeline.stream.clone();
    let mut spoil = redis::pipe();
    spoil.atomic().cmd("RENAME").arg(&stream).arg("moved").ignore();
    spoil.cmd("SET").arg(&stream).arg("spoilt").ignore();
    spoil.query_async::<()>(&mut rig.admin).await.unwrap();
    rig.all_unready("holds a string").await;
    rig.refused("not a stream").await;
    rig.all_count("wrong_type").await;
    rig.cmd::<()>(&["RENAME", "moved", &stream]).await;
    rig.recovers().await;
}

#[tokio::test]
async fn a_worker_that_cannot_settle_is_not_ready_although_redis_answers() {
    let mut rig = Rig::start(RedisServer::builder()).await;
    let dead_letters = format!("{{{}}}:dlq:notifications", rig.pipeline.stream);
    rig.cmd::<()>(&["SET", &dead_letters, "spoilt"]).await;
    let poison = rig.pipeline.xadd(&[("type", "order.paid"), ("amount", "much")]).await;
    let [producer, notifications, ..] = &rig.services;
    unready(notifications, "worker: dead-lettering keeps failing").await;
    counts(notifications, "wrong_type").await;
    ready(producer).await;
    rig.cmd::<i64>(&["DEL", &dead_letters]).await;
    ready(&rig.services[1]).await;
    rig.settled().await;
    let letters = rig.pipeline.dead_letters("notifications").await;
    assert_eq!(letters.iter().map(|letter| &letter["_dl_id"]).collect::<Vec<_>>(), [&poison]);
    no_flood(&rig.services[1].log());
}

#[tokio::test]
async fn every_service_tells_what_its_server_can_do() {
    let rig = Rig::start(RedisServer::builder()).await;
    for service in &rig.services {
        let url = service.ops_url("/capabilities");
        let report = eventually(SOON, "the server was probed", async || {
            let report: Value = reqwest::get(&url).await.ok()?.json().await.ok()?;
            (!report["server"].is_null()).then_some(report)
        })
        .await;
        let capabilities = report["capabilities"].as_object().unwrap();
        assert_eq!(capabilities.len(), 9, "{report}");
        for (name, capability) in capabilities {
            let available = match capability["state"].as_str().unwrap() {
                "available" => 1.0,
                "unavailable" => 0.0,
                other => panic!("{name} is {other}"),
            };
            let gauge = format!("redis_capability{{capability=\"{name}\"}}");
            assert!((service.metric(&gauge).await - available).abs() < 0.1, "{name}");
        }
    }
}
