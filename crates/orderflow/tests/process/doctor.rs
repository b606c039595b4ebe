//! `orderflow doctor` against servers and streams that are well, and ones that are not.

use serde_json::Value;
use stream_core::{Holder, Lease, ServerInfo, StartAt};
use testkit::{RedisServer, free_port};

use crate::common::{TestStream, orderflow};

/// The findings as (name, state, message, remedy), and the exit code.
fn findings(stream: &TestStream, flags: &[&str]) -> (Vec<[String; 4]>, Option<i32>) {
    let ended = orderflow(&stream.args(&[&["doctor", "--json"], flags].concat()));
    let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
    assert_eq!(report["healthy"], ended.code == Some(0), "{report}");
    let text = |check: &Value, member: &str| check[member].as_str().unwrap_or_default().to_owned();
    let checks = report["checks"].as_array().unwrap().iter();
    let checks = checks.map(|check| ["name", "state", "message", "remedy"].map(|member| text(check, member)));
    (checks.collect(), ended.code)
}

/// The first finding of this name that is not ok.
#[track_caller]
fn bad<'a>(findings: &'a [[String; 4]], name: &str) -> &'a [String; 4] {
    let found = findings.iter().find(|[check, state, ..]| check == name && state != "ok");
    let found = found.unwrap_or_else(|| panic!("{name} is well: {findings:#?}"));
    assert!(!found[3].is_empty(), "says what to do: {found:?}");
    found
}

async fn cmd(server: &RedisServer, words: &[&str]) {
    let mut cmd = redis::Cmd::new();
    cmd.arg(words);
    cmd.query_async::<redis::Value>(&mut server.connection().await).await.unwrap();
}

/// A stream with both groups and a reaper, all settled.
async fn healthy(server: &RedisServer) -> TestStream {
    let stream = TestStream::new(server);
    stream.append("alice").await;
    for group in ["notifications", "analytics"] {
        stream.stream.ensure_group(group, StartAt::Beginning).await.unwrap();
        stream.deliver(group, "worker", 1).await;
        let newest = stream.stream.info().await.unwrap().last_generated_id;
        stream.stream.ack(group, &[newest]).await.unwrap();
    }
    let holder = Holder::current("reaper-host", "127.0.0.1:9104").to_lease_value();
    let key = stream.stream.key().reaper_lease();
    let ttl = std::time::Duration::from_mins(10);
    Lease::new(stream.stream.connection().clone(), key, holder, ttl).take(None).await.unwrap();
    stream
}

#[tokio::test]
async fn a_healthy_pipeline_passes_even_strictly() {
    let server = RedisServer::builder().append_only(true).start().await;
    let stream = healthy(&server).await;
    let (findings, code) = findings(&stream, &["--strict"]);
    assert_eq!(code, Some(0), "{findings:#?}");
    for check in [
        "reachable",
        "version",
        "mode",
        "role",
        "eviction",
        "memory",
        "connections",
        "persistence",
        "clock",
        "capabilities",
        "stream",
        "reaper",
        "lag",
        "pending",
        "consumers",
        "dead letters",
    ] {
        assert!(findings.iter().any(|[name, ..]| name == check), "{check} in {findings:#?}");
    }
    assert!(findings.iter().any(|[_, _, message, _]| message.contains("reaper-host")), "{findings:#?}");
    let text = orderflow(&stream.args(&["doctor"])).success();
    assert!(text.ends_with(" ok, 0 warnings, 0 problems\n"), "{text}");
    let mut connection = server.connection().await;
    let probes: Vec<String> = redis::cmd("KEYS").arg("*probe*").query_async(&mut connection).await.unwrap();
    assert_eq!(probes, Vec::<String>::new());
}

#[tokio::test]
async fn a_warning_fails_only_strictly() {
    let server = RedisServer::start().await;
    let stream = healthy(&server).await;
    let (found, code) = findings(&stream, &[]);
    assert_eq!((code, bad(&found, "persistence")[1].as_str()), (Some(0), "warning"));
    assert_eq!(findings(&stream, &["--strict"]).1, Some(1));
}

#[tokio::test]
async fn an_unsafe_server_is_told_with_what_to_do() {
    let server = RedisServer::start().await;
    let stream = healthy(&server).await;
    cmd(&server, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    cmd(&server, &["SET", "ballast", &"x".repeat(20_000_000)]).await;
    let used = ServerInfo::ask(stream.stream.connection()).await.unwrap().used_memory;
    cmd(&server, &["CONFIG", "SET", "maxmemory", &(used * 100 / 83).to_string()]).await;
    let (found, code) = findings(&stream, &[]);
    assert_eq!(code, Some(1));
    assert!(bad(&found, "eviction")[2].contains("allkeys-lru"));
    assert!(bad(&found, "eviction")[3].contains("noeviction"));
    assert_eq!(bad(&found, "memory")[1], "warning");
    assert!(bad(&found, "memory")[2].contains("MiB used, 8"), "{found:#?}");
}

#[tokio::test]
async fn a_replica_is_told() {
    let server = RedisServer::start().await;
    let stream = healthy(&server).await;
    cmd(&server, &["REPLICAOF", "127.0.0.1", &free_port().to_string()]).await;
    let (found, code) = findings(&stream, &[]);
    assert_eq!((code, bad(&found, "role")[1].as_str()), (Some(1), "problem"));
    assert!(bad(&found, "capabilities")[2].contains("could not be tried"), "{found:#?}");
}

#[tokio::test]
async fn what_is_missing_or_left_lying_is_told_group_by_group() {
    let server = RedisServer::start().await;
    let stream = TestStream::new(&server);
    let (found, _) = findings(&stream, &[]);
    assert_eq!(bad(&found, "stream")[1], "warning");
    bad(&found, "reaper");

    let id = stream.append("alice").await;
    stream.append("bob").await;
    stream.stream.ensure_group("notifications", StartAt::Beginning).await.unwrap();
    let (found, code) = findings(&stream, &[]);
    assert_eq!(code, Some(1));
    assert!(bad(&found, "group")[2].contains("analytics"));
    assert!(bad(&found, "lag")[2].contains("2 entries wait for notifications, which has no consumer"));

    stream.deliver("notifications", "dead", 1).await;
    let claim =
        ["XCLAIM", &stream.key, "notifications", "dead", "0", &id.to_string(), "IDLE", "3600000", "JUSTID"];
    cmd(&server, &claim).await;
    cmd(&server, &["XADD", &stream.stream.key().dead_letters("notifications"), "*", "_dl_id", "1-0"]).await;
    let (found, _) = findings(&stream, &[]);
    assert!(bad(&found, "pending")[2].contains("idle for 1h with consumer dead"), "{found:#?}");
    assert!(bad(&found, "consumers")[2].contains("dead hold 1 entry of notifications"), "{found:#?}");
    assert!(bad(&found, "dead letters")[2].contains("notifications has 1"));
}

#[tokio::test]
async fn another_type_at_the_streams_key_is_a_problem() {
    let server = RedisServer::start().await;
    let stream = TestStream::new(&server);
    cmd(&server, &["SET", &stream.key, "spoilt"]).await;
    let (found, code) = findings(&stream, &[]);
    assert_eq!(code, Some(1));
    assert!(bad(&found, "stream")[2].contains("holds a string"), "{found:#?}");
}

#[tokio::test]
async fn without_redis_or_with_a_wrong_password_the_one_finding_says_so() {
    let url = format!("redis://:s3cret@127.0.0.1:{}/", free_port());
    let away = TestStream::at(url, "orders".to_owned());
    let server = RedisServer::builder().arg("--requirepass", ["right"]).start().await;
    let url = format!("redis://:s3cret@127.0.0.1:{}/", server.port());
    let refused = TestStream::at(url, "orders".to_owned());
    for (stream, word) in [(away, "orderflow up"), (refused, "user and password")] {
        let (found, code) = findings(&stream, &[]);
        assert_eq!((code, found.len()), (Some(1), 1), "{found:#?}");
        assert!(bad(&found, "reachable")[3].contains(word), "{found:#?}");
        assert!(!format!("{found:?}").contains("s3cret"));
    }
}
