//! up with stand-ins for the services: started, announced, watched, stopped.

use std::{fs, time::Duration};

use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use testkit::{RedisServer, eventually, free_port};

use crate::{
    common::{Ended, TestStream},
    installation::{Installation, SERVICES, Up},
};

/// The shortest grace that the checks of the configuration let pass.
const SHORT_GRACE: [&str; 8] = [
    "--set",
    "producer.request_deadline=50ms",
    "--set",
    "worker.drain_timeout=100ms",
    "--set",
    "worker.block=50ms",
    "--set",
    "shutdown.grace=200ms",
];

#[tokio::test]
async fn it_brings_its_own_redis_keeps_the_data_and_stops_in_order() {
    let installation = Installation::new();
    let mut up = Up::started(installation.up(&[]));
    let shown = ["producer API", "metrics", "", "analytics API", "", "", "console"];
    for (name, port) in shown.iter().zip(&installation.ports) {
        up.line(&[name, &format!("http://127.0.0.1:{port}/")]);
    }
    up.line(&["curl -s http://127.0.0.1:", "/v1/events -H"]);
    up.line(&["curl -s http://127.0.0.1:", "/v1/analytics/summary"]);
    up.line(&["levers ", "/admin/worker", "token in ", ".orderflow/admin-token"]);
    let url = installation.redis_url();
    up.line(&["Redis ", &url, ".orderflow"]);
    for service in SERVICES {
        up.line(&[&format!("{service:20} | "), "told", &url]);
        up.line(&[&format!("orderflow: {service} is ready")]);
    }

    let stream = TestStream::at(url, "events:orders".to_owned());
    stream.append("alice").await;
    stream.stream.ensure_group("mine", stream_core::StartAt::Beginning).await.unwrap();
    // The tools find it without being told.
    let groups = Ended::of(&mut installation.command(&["groups"])).success();
    assert!(groups.contains("mine "), "{groups}");

    let analytics = format!("127.0.0.1:{}", installation.ports[3]);
    let mut summary = installation.command(&["analytics", "summary"]);
    let stderr = Ended::of(summary.env_remove("ORDERFLOW__ANALYTICS__LISTEN")).failure(1);
    assert!(
        stderr.contains(&format!("http://{analytics}/v1/analytics/summary")),
        "nobody plays it: {stderr}"
    );

    up.ctrl_c();
    let (code, said) = up.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("orderflow: SIGINT: stopping"), "{said}");
    assert_eq!(
        said.matches("signal=\"SIGTERM\"").count(),
        SERVICES.len(),
        "each is told once, by us: {said}"
    );
    assert_eq!(said.matches("stopping at once").count(), 0, "{said}");
    assert!(!installation.redis_runs() && !installation.services_run());
    let log = fs::read_to_string(installation.work().join(".orderflow/redis.log")).unwrap();
    assert!(log.contains("ready to exit"), "{log}");

    // The data is there the next time.
    let again = Up::started(installation.up(&[]));
    let stream = TestStream::at(installation.redis_url(), stream.key);
    assert_eq!(stream.stream.info().await.unwrap().length, 1);
    assert!(!again.said.concat().contains("Deleting"));
}

#[tokio::test]
async fn the_demo_wipes_its_stream_and_nothing_else_unless_told_not_to() {
    let server = RedisServer::start().await;
    let installation = Installation::new();
    let demo = TestStream::at(server.url(), "demo:events:orders".to_owned());
    let other = TestStream::at(server.url(), "events:orders".to_owned());
    demo.append("alice").await;
    other.append("alice").await;
    let port = server.port().to_string();

    let up = Up::started(installation.up(&["--demo", "--no-reset", "--redis-port", &port]));
    assert_eq!(demo.stream.info().await.unwrap().length, 1);
    drop(up);
    let up = Up::started(installation.up(&["--demo", "--redis-port", &port]));
    up.line(&[
        "Deleting any existing data at key 'demo:events:orders' for a clean demo run (pass --no-reset",
    ]);
    up.line(&["notifications-worker | ", "told", "stream=\"demo:events:orders\"", "worker-a+worker-b"]);
    up.line(&["analytics-worker ", "told", "names=\"worker-c\""]);
    up.line(&["reaper ", "told", &format!("redis://localhost:{port}/")]);
    assert_eq!(demo.stream.info().await.unwrap().length, 0);
    assert_eq!(other.stream.info().await.unwrap().length, 1);
    assert!(!installation.work().join(".orderflow").exists(), "a named Redis needs no directory");
}

#[test]
fn scripts_are_told_as_json_when_it_is_ready() {
    let installation = Installation::new();
    let mut up = Up::start(installation.up(&["--json"]));
    let told: Value = serde_json::from_str(&up.wait_for("{\"admin_token_file\":")).unwrap();
    let names: Vec<_> = told["services"].as_array().unwrap().iter().map(|service| &service["name"]).collect();
    assert_eq!(names, SERVICES);
    let producer = &told["services"][0];
    assert_eq!(producer["url"], format!("http://127.0.0.1:{}", installation.ports[0]));
    assert_eq!(producer["ops_url"], format!("http://127.0.0.1:{}", installation.ports[1]));
    assert_eq!(producer["pid"], up.service_pid("producer-api").as_raw());
    assert_eq!(
        (&told["redis_url"], &told["stream"]),
        (&installation.redis_url().into(), &"events:orders".into())
    );
    assert!(fs::exists(told["admin_token_file"].as_str().unwrap()).unwrap());
}

#[test]
fn a_service_that_fails_at_start_stops_everything() {
    let installation = Installation::new();
    let mut command = installation.up(&[]);
    command.env("STAND_IN_FAIL", "analytics-worker");
    let mut up = Up::start(command);
    let (code, said) = up.end();
    assert_eq!(code, Some(1), "{said}");
    up.line(&["analytics-worker     | ", "failed error=\"told to fail\""]);
    up.line(&["orderflow: analytics-worker ended before it was ready (exit status: 1); stopping the others"]);
    assert!(!said.contains("Orderflow is up"), "{said}");
    assert!(!installation.redis_runs() && !installation.services_run());
}

#[test]
fn a_service_that_dies_is_reported_and_the_others_go_on() {
    let installation = Installation::new();
    let mut up = Up::started(installation.up(&[]));
    kill(up.service_pid("reaper"), Signal::SIGKILL).unwrap();
    let line = up.wait_for("has ended");
    assert!(line.starts_with("orderflow: reaper has ended: signal: 9 (SIGKILL)"), "{line}");
    assert!(installation.redis_runs() && installation.services_run());
    kill(up.pid(), Signal::SIGTERM).unwrap();
    let (code, said) = up.end();
    assert_eq!((code, said.matches("started reaper").count()), (Some(0), 1), "{said}");
}

/// The token that a service says it was told.
fn token(line: &str) -> &str {
    line.split("token=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap()
}

#[tokio::test]
async fn a_service_started_by_hand_has_its_levers_and_no_secret_in_its_line() {
    let server = RedisServer::start().await;
    let port = server.port().to_string();
    for flags in [&[][..], &["--redis-port", &port]] {
        let installation = Installation::new();
        let mut up = Up::started(installation.up(flags));
        let told = token(up.line(&["reaper ", "told"])).to_owned();
        assert_eq!(told.len(), 32);
        let by_hand = up.line(&["started reaper"]).split("): ").nth(1).unwrap().trim().to_owned();
        assert!(by_hand.contains("ORDERFLOW__ADMIN__TOKEN__FILE=") && !by_hand.contains(&told), "{by_hand}");
        kill(up.service_pid("reaper"), Signal::SIGTERM).unwrap();
        up.wait_for("reaper has ended");
        let mut again = Up::start(installation.shell(&by_hand));
        assert_eq!(token(&again.wait_for("told")), told);
        kill(again.pid(), Signal::SIGTERM).unwrap();
        assert_eq!(again.end().0, Some(0));
        let file =
            by_hand.split("TOKEN__FILE=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
        assert!(fs::exists(&file).unwrap(), "{file}");
        up.ctrl_c();
        up.end();
        assert!(!fs::exists(&file).unwrap(), "it goes with the run: {file}");
    }
}

#[test]
fn a_service_that_does_not_stop_is_killed_after_the_grace_and_named() {
    let installation = Installation::new();
    let mut command = installation.up(&SHORT_GRACE);
    command.env("STAND_IN_STUCK", "reaper");
    let mut up = Up::started(command);
    up.ctrl_c();
    let (code, said) = up.end();
    assert_eq!(code, Some(0), "{said}");
    up.line(&["orderflow: reaper did not stop in time (SIGKILL)"]);
    assert!(!installation.redis_runs() && !installation.services_run());
}

#[test]
fn a_second_ctrl_c_kills_at_once() {
    let installation = Installation::new();
    // With a grace of a minute only the second signal can end it soon.
    let mut command = installation.up(&["--set", "shutdown.grace=1m"]);
    command.env("STAND_IN_STUCK", "producer-api");
    let mut up = Up::started(command);
    up.ctrl_c();
    up.wait_for("orderflow: SIGINT: stopping");
    up.wait_for("signal=\"SIGTERM\"");
    up.ctrl_c();
    let (code, said) = up.end();
    assert_eq!(code, Some(130), "{said}");
    up.line(&["orderflow: producer-api is killed, undrained (SIGKILL)"]);
    assert!(!installation.redis_runs() && !installation.services_run());
}

#[tokio::test]
async fn a_directory_and_its_ports_serve_one_at_a_time() {
    let first = Installation::new();
    let up = Up::started(first.up(&[]));
    let stderr = Ended::of(&mut first.up(&[])).failure(1);
    assert!(stderr.contains("nothing was started"), "{stderr}");
    assert_eq!(stderr.matches("address already in use; set ").count(), SERVICES.len(), "{stderr}");
    assert!(stderr.contains("producer-api: cannot listen on 127.0.0.1:"), "{stderr}");

    // Other ports, but the same directory.
    let second = Installation::new();
    let mut command = second.up(&[]);
    let stderr = Ended::of(command.current_dir(first.work())).failure(1);
    let pid = up.pid();
    assert!(stderr.contains(&format!("another `orderflow up` (process {pid}) uses ")), "{stderr}");

    // Another directory, but the same Redis port.
    let mut command = second.command(&["up", "--embedded-redis-port", &first.redis_port.to_string()]);
    let stderr = Ended::of(&mut command).failure(1);
    assert!(stderr.contains(&format!("cannot start a Redis on port {}: it is taken", first.redis_port)));
    assert!(stderr.contains("--embedded-redis-port"), "{stderr}");
    drop(up);
    eventually(Duration::from_secs(10), "everything has ended", async || {
        (!first.redis_runs() && !first.services_run()).then_some(())
    })
    .await;
}

#[test]
fn what_is_missing_is_named_with_how_to_get_it() {
    let installation = Installation::new();
    let no_redis = Ended::of(installation.up(&[]).env("PATH", "/nowhere")).failure(1);
    assert!(no_redis.contains("neither redis-server nor valkey-server in PATH"), "{no_redis}");
    assert!(no_redis.contains("sudo apt-get install redis-server"), "{no_redis}");
    let named = Ended::of(installation.up(&[]).env("ORDERFLOW_REDIS_SERVER", "/nowhere/redis")).failure(1);
    assert!(named.contains("ORDERFLOW_REDIS_SERVER=/nowhere/redis: no such program"), "{named}");

    for service in ["reaper", "producer-api"] {
        fs::remove_file(installation.dir.path().join("bin").join(service)).unwrap();
    }
    let no_services = Ended::of(installation.up(&[]).env("PATH", "/nowhere")).failure(1);
    assert!(no_services.contains("cannot find producer-api, reaper in "), "{no_services}");
    assert!(no_services.contains("`cargo build --bin producer-api --bin reaper`"), "{no_services}");
}

#[test]
fn a_redis_that_cannot_start_shows_its_log() {
    let installation = Installation::new();
    let mut up = Up::start({
        let mut command = installation.up(&[]);
        command.env("ORDERFLOW_REDIS_SERVER", "false");
        command
    });
    let (code, said) = up.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("redis-server ended at once (exit status: 1); its log ends:"), "{said}");
}

#[test]
fn a_named_redis_that_is_away_starts_nothing() {
    let installation = Installation::new();
    let url = format!("redis://:s3cret@127.0.0.1:{}/", free_port());
    let stderr = Ended::of(&mut installation.up(&["--redis-url", &url])).failure(1);
    assert!(stderr.contains("PING failed (connection)") && !stderr.contains("s3cret"), "{stderr}");
    assert!(!stderr.contains("started"), "{stderr}");
}
