//! `orderflow up`: one command, the printed curl, both groups, a clean end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use e2e::binary;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;
use testkit::{eventually, free_port};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

const SOON: Duration = Duration::from_secs(30);

/// A running `orderflow up` in a directory of its own, its output piped.
struct Up {
    child: Child,
    directory: TempDir,
    environment: Vec<(String, String)>,
    redis_port: u16,
    ports: Vec<u16>,
    announcement: String,
}

impl Up {
    async fn start(arguments: &[&str]) -> Self {
        let directory = TempDir::with_prefix("orderflow-up-").unwrap();
        let listens = [
            "PRODUCER__LISTEN",
            "PRODUCER__OPS_LISTEN",
            "NOTIFICATIONS__OPS_LISTEN",
            "ANALYTICS__LISTEN",
            "ANALYTICS__OPS_LISTEN",
            "REAPER__OPS_LISTEN",
        ];
        let ports: Vec<u16> = listens.iter().map(|_| free_port()).collect();
        let environment: Vec<(String, String)> = listens
            .iter()
            .zip(&ports)
            .map(|(key, port)| (format!("ORDERFLOW__{key}"), format!("127.0.0.1:{port}")))
            .collect();
        let redis_port = free_port();
        let mut child = Command::new(binary("orderflow"))
            .args(["up", "--embedded-redis-port", &redis_port.to_string()])
            .args(arguments)
            .current_dir(directory.path())
            .env_remove("REDIS_URL")
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Nobody may be held up by a full pipe.
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = tokio::spawn(async move {
            let mut text = String::new();
            while let Ok(Some(line)) = log.next_line().await {
                text.push_str(&line);
                text.push('\n');
            }
            text
        });
        let mut announcement = String::new();
        let announced = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                announcement.push_str(&line);
                announcement.push('\n');
                if line.contains("orderflow groups") {
                    return true;
                }
            }
            false
        };
        let announced = tokio::time::timeout(SOON, announced).await.expect("`orderflow up` announces itself");
        assert!(announced, "`orderflow up` ended early:\n{announcement}{}", log.await.unwrap());
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, directory, environment, redis_port, ports, announcement }
    }

    /// Runs the n-th command that was printed, as a person would.
    async fn run_printed(&self, n: usize) -> String {
        let joined = self.announcement.replace("\\\n", " ");
        let command = joined.lines().filter(|line| line.trim_start().starts_with("curl")).nth(n).unwrap();
        let output = Command::new("sh").arg("-c").arg(command).output().await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    async fn orderflow(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(binary("orderflow"));
        command.args(arguments).current_dir(self.directory.path()).env_remove("REDIS_URL");
        let output = command.envs(self.environment.iter().cloned()).output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn stop(mut self, signal: Signal) -> ExitStatus {
        let pid = Pid::from_raw(self.child.id().unwrap().cast_signed());
        kill(pid, signal).unwrap();
        let status = tokio::time::timeout(SOON, self.child.wait()).await.expect("it stops").unwrap();
        for port in self.ports.iter().chain([&self.redis_port]) {
            assert!(std::net::TcpStream::connect(("127.0.0.1", *port)).is_err(), "{port} is still open");
        }
        status
    }
}

#[tokio::test]
async fn the_printed_curl_works_both_groups_process_it_and_everything_stops() {
    let up = Up::start(&[]).await;
    let answer: Value = serde_json::from_str(&up.run_printed(0).await).unwrap();
    assert_eq!(answer["stream"], "events:orders");
    let posted = Instant::now();
    eventually(SOON, "the event is counted", async || {
        let summary: Value = serde_json::from_str(&up.run_printed(1).await).unwrap();
        (summary["revenue"] == "49.50").then_some(()).ok_or(summary.to_string())
    })
    .await;
    assert!(posted.elapsed() < Duration::from_secs(1), "within a second, not {:?}", posted.elapsed());
    eventually(SOON, "nothing is pending", async || {
        let groups: Value = serde_json::from_str(&up.orderflow(&["groups", "--json"]).await).unwrap();
        let rows = groups.as_array().cloned().unwrap_or_default();
        let settled = rows.iter().all(|row| row["pending"] == 0 && row["lag"] == 0);
        (rows.len() == 2 && settled).then_some(()).ok_or(groups.to_string())
    })
    .await;
    let data = up.directory.path().join(".orderflow");
    assert!(data.exists());
    assert_eq!(up.stop(Signal::SIGINT).await.code(), Some(0));
}

#[tokio::test]
async fn a_file_of_real_orders_is_produced_exactly() {
    let up = Up::start(&[]).await;
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/sample/orders.ndjson");
    up.orderflow(&["produce", "--file", sample]).await;
    eventually(SOON, "every event is counted", async || {
        let summary: Value = serde_json::from_str(&up.run_printed(1).await).unwrap();
        let exact =
            summary["events"] == 1_000 && summary["revenue"] == "15550.56" && summary["customers"] == 159;
        exact.then_some(()).ok_or(summary.to_string())
    })
    .await;
    assert_eq!(up.stop(Signal::SIGTERM).await.code(), Some(0));
}

#[tokio::test]
async fn the_demo_has_the_guides_consumers() {
    let up = Up::start(&["--demo"]).await;
    let mut connection = redis::Client::open(format!("redis://127.0.0.1:{}/", up.redis_port))
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    for (group, expected) in
        [("notifications", vec!["worker-a", "worker-b"]), ("analytics", vec!["worker-c"])]
    {
        let consumers: Vec<std::collections::HashMap<String, redis::Value>> = redis::cmd("XINFO")
            .arg("CONSUMERS")
            .arg("demo:events:orders")
            .arg(group)
            .query_async(&mut connection)
            .await
            .unwrap();
        let mut names: Vec<String> = consumers
            .iter()
            .map(|consumer| redis::from_redis_value_ref(&consumer["name"]).unwrap())
            .collect();
        names.sort();
        assert_eq!(names, expected, "consumers are listed before their first delivery");
    }
    assert_eq!(up.stop(Signal::SIGINT).await.code(), Some(0));
}
