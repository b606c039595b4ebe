//! Every connection of the pipeline under TLS: to Redis, between the services, and of their clients.

use std::{fs, path::PathBuf, time::Duration};

use e2e::{Pipeline, Role, Service};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Authority, RedisServer, RedisTls, eventually};

/// Longer than any backoff on a busy machine.
const SOON: Duration = Duration::from_mins(1);
const ALL: [Role; 5] = [Role::Producer, Role::Notifications, Role::Analytics, Role::Reaper, Role::Console];
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];
const USER: &str = "orderflow";

/// An authority, its files, and a server of Redis that asks everybody for a certificate and a password.
struct Rig {
    authority: Authority,
    dir: TempDir,
    pipeline: Pipeline,
}

impl Rig {
    async fn start() -> Self {
        let authority = Authority::new("the right one");
        let dir = TempDir::new().expect("a directory");
        let ca = authority.write(dir.path(), "ca");
        let server = authority.issue(&NAMES).write(dir.path(), "redis");
        let client = authority.issue(&["a service"]).write(dir.path(), "client");
        let tls = RedisTls { ca: ca.clone(), cert: server.cert, key: server.key, clients_show_one: true };
        // The users outlive a restart.
        let users = dir.path().join("users.acl");
        fs::write(
            &users,
            format!("user default on nopass ~* &* +@all\nuser {USER} on >first-s3cret ~* &* +@all\n"),
        )
        .expect("a file");
        let redis = RedisServer::builder()
            .append_only(true)
            .tls(tls)
            .arg("--aclfile", [users.to_string_lossy()])
            .start()
            .await;
        let mut pipeline = Pipeline::on(redis);
        let rig_file = |name: &str, text: &str| {
            fs::write(dir.path().join(name), text).expect("a file");
            dir.path().join(name)
        };
        let password = rig_file("password", "first-s3cret\n");
        for (key, path) in
            [("TLS_CA", ca), ("TLS_CERT", client.cert), ("TLS_KEY", client.key), ("PASSWORD__FILE", password)]
        {
            pipeline.set(&format!("ORDERFLOW__REDIS__{key}"), &path.to_string_lossy());
        }
        pipeline.set("ORDERFLOW__REDIS__USERNAME", USER);
        pipeline.set("ORDERFLOW__LOG__FORMAT", "json");
        // A handshake of a debug build on a busy machine.
        pipeline.set("ORDERFLOW__REDIS__CONNECT_TIMEOUT", "10s");
        Self { authority, dir, pipeline }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Stores an event of a cent for order `number`, and waits until it counts.
    async fn counts(&self, number: u32) {
        let event = json!({ "type": "order.paid", "order_id": format!("o-{number}"), "customer": "eve", "amount": "0.01" });
        eventually(SOON, "an event is stored", async || {
            let (status, answer) = self.pipeline.post(event.to_string()).await;
            if status == 201 { Ok(()) } else { Err(answer.to_string()) }
        })
        .await;
        self.pipeline.settled().await;
        let paid = self.pipeline.analytics(&format!("/v1/analytics/orders/o-{number}")).await;
        assert_eq!(paid["order_id"], format!("o-{number}"), "{paid}");
    }

    async fn acl(&self, words: &[&str]) {
        let mut admin = self.pipeline.connection().await;
        redis::cmd(words[0])
            .arg(&words[1..])
            .query_async::<redis::Value>(&mut admin)
            .await
            .expect("an admin may");
    }
}

#[tokio::test]
async fn all_services_work_over_tls_and_outlive_renewed_certificates_and_passwords() {
    let mut rig = Rig::start().await;
    let services = rig.pipeline.start_all(ALL).await;
    rig.counts(1).await;
    let (ok, said) = rig.pipeline.run("orderflow", &["doctor"], &[]).await;
    assert!(ok, "{said}");

    // Redis gets another certificate, and so do we.
    rig.authority.issue(&NAMES).write(rig.dir.path(), "redis");
    rig.authority.issue(&["a service"]).write(rig.dir.path(), "client");
    rig.pipeline.redis.restart().await;
    rig.counts(2).await;

    // The password changes, and whoever has the old one is thrown out.
    rig.acl(&["ACL", "SETUSER", USER, "resetpass", ">second-s3cret"]).await;
    rig.acl(&["CLIENT", "KILL", "USER", USER]).await;
    fs::write(rig.path("password"), "second-s3cret\n").expect("a file");
    rig.counts(3).await;
    for service in &services {
        let log = service.log();
        assert!(!log.contains("s3cret"), "{}", service.name());
    }
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_told_with_what_to_do() {
    let mut rig = Rig::start().await;
    Authority::new("another").write(rig.dir.path(), "ca");
    let services = ALL.map(|role| rig.pipeline.start(role));
    for service in &services {
        let reason =
            eventually(SOON, "the service says why it is not ready", async || reason(service).await).await;
        assert!(reason.contains("set redis.tls_ca"), "{reason}");
    }
    let (ok, said) = rig.pipeline.run("orderflow", &["groups"], &[]).await;
    assert!(!ok && said.contains("set redis.tls_ca"), "{said}");
    // The right authority is picked up by itself.
    rig.authority.write(rig.dir.path(), "ca");
    rig.counts(1).await;
}

/// Why it is not ready, once it has looked.
async fn reason(service: &Service) -> Result<String, String> {
    let answer = reqwest::get(service.ops_url("/readyz")).await.map_err(|error| error.to_string())?;
    let answer: Value = answer.json().await.map_err(|error| error.to_string())?;
    let reasons = answer["reasons"].to_string();
    // On a busy machine the first looks may time out.
    if reasons.contains("(tls)") { Ok(reasons) } else { Err(reasons) }
}

#[tokio::test]
async fn services_speak_tls_to_their_clients_and_to_each_other() {
    let mut rig = Rig::start().await;
    let server = rig.authority.issue(&NAMES).write(rig.dir.path(), "server");
    let ca = rig.path("ca.pem");
    for (key, value) in [
        ("TLS__CERT", server.cert.to_string_lossy()),
        ("TLS__KEY", server.key.to_string_lossy()),
        ("TLS__CA", ca.to_string_lossy()),
        ("TLS__OPS", "true".into()),
        ("ADMIN__TOKEN", "0123456789abcdef".into()),
        ("WORKER__NAMES", "worker-a".into()),
    ] {
        rig.pipeline.set(&format!("ORDERFLOW__{key}"), &value);
    }
    for role in [Role::Producer, Role::Analytics] {
        let section = if role == Role::Producer { "PRODUCER" } else { "ANALYTICS" };
        let url = rig.pipeline.url(role, "").replace("http:", "https:");
        rig.pipeline.set(&format!("ORDERFLOW__CONSOLE__{section}_URL"), &url);
    }
    let services = ALL.map(|role| rig.pipeline.start(role));
    for service in &services {
        let section = match service.name() {
            "producer-api" => "PRODUCER",
            "notifications-worker" => "NOTIFICATIONS",
            "analytics-worker" => "ANALYTICS",
            name => &name.to_uppercase(),
        };
        let ops = service.ops_url("").replace("http://", "");
        let key = format!("ORDERFLOW__{section}__OPS_LISTEN");
        eventually(SOON, "its own health check finds it ready", async || {
            let (ok, said) = rig.pipeline.run(service.name(), &["--health-check"], &[(&key, &ops)]).await;
            if ok { Ok(()) } else { Err(said) }
        })
        .await;
    }

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(rig.authority.pem().as_bytes()).expect("PEM")).expect("a root");
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let http =
        reqwest::Client::builder().no_proxy().tls_backend_preconfigured(config).build().expect("a client");
    let https = |role: Role, path: &str| rig.pipeline.url(role, path).replace("http:", "https:");
    // The console sends it on to the producer.
    let event = json!({ "type": "order.paid", "count": 1 });
    let sent = http.post(https(Role::Console, "/api/produce")).json(&event).send().await.expect("an answer");
    assert!(sent.status().is_success(), "{:?}", sent.text().await);
    rig.pipeline.settled().await;
    let summary: Value = http
        .get(https(Role::Console, "/api/analytics/summary"))
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(summary["by_type"]["order.paid"]["count"], 1, "{summary}");
    // A lever, over the address that the worker has registered.
    let (ok, said) =
        rig.pipeline.run("orderflow", &["claim", "notifications", "worker-a", "--json"], &[]).await;
    assert!(ok, "{said}");
    let (ok, said) = rig.pipeline.run("orderflow", &["produce", "--random", "10", "--json"], &[]).await;
    assert!(ok, "{said}");
    let (ok, said) = rig.pipeline.run("orderflow", &["analytics", "summary", "--json"], &[]).await;
    assert!(ok && said.contains("revenue"), "{said}");
}
