//! groups, pending and tail against a real Redis.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use stream_core::{ConsumerCounters, Holder, NameLease, PendingFilter, StartAt};
use testkit::{RedisServer, free_port};

use crate::common::{BINARY, TestStream, command, orderflow, temp_dir};

async fn two_delivered_of_three(server: &RedisServer) -> TestStream {
    let stream = TestStream::new(server);
    for customer in ["alice", "bob", "carol"] {
        stream.append(customer).await;
    }
    for group in ["notifications", "analytics"] {
        stream.stream.ensure_group(group, StartAt::Beginning).await.unwrap();
    }
    stream.deliver("notifications", "worker-a", 1).await;
    stream.deliver("notifications", "worker-b", 1).await;
    stream
}

#[tokio::test]
async fn groups_shows_pending_and_lag_of_each() {
    let server = RedisServer::start().await;
    let stream = two_delivered_of_three(&server).await;
    let rows: Value =
        serde_json::from_str(&orderflow(&stream.args(&["groups", "--json"])).success()).unwrap();
    let figures: Vec<_> =
        ["name", "consumers", "pending", "lag"].map(|member| rows[1][member].clone()).into();
    assert_eq!(figures, [json!("notifications"), json!(2), json!(2), json!(1)]);
    assert!(rows[1]["oldest_pending_age_ms"].is_u64(), "{rows}");
    assert_eq!((&rows[0]["lag"], &rows[0]["oldest_pending_age_ms"]), (&json!(3), &Value::Null));
    assert_eq!(rows[0]["last_delivered_id"], "0-0");

    let table = orderflow(&stream.args(&["groups"])).success();
    let lines: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0][..4], ["GROUP", "CONSUMERS", "PENDING", "LAG"], "{table}");
    assert_eq!(lines[1][..4], ["analytics", "0", "0", "3"], "{table}");
    assert_eq!(lines[2][..4], ["notifications", "2", "2", "1"], "{table}");
}

#[tokio::test]
async fn a_stream_without_groups_is_not_an_error() {
    let server = RedisServer::start().await;
    let stream = TestStream::new(&server);
    let ended = orderflow(&stream.args(&["groups"]));
    assert!(ended.stderr.contains("has no consumer groups"), "{ended:?}");
    assert_eq!(ended.success(), "");
    assert_eq!(orderflow(&stream.args(&["groups", "--json"])).success(), "[]\n");
}

#[tokio::test]
async fn pending_lists_what_fits_the_filter() {
    let server = RedisServer::start().await;
    let stream = two_delivered_of_three(&server).await;
    let rows = |args: &[&str]| -> Vec<Value> {
        let args = [&["pending", "notifications", "--json"], args].concat();
        serde_json::from_str(&orderflow(&stream.args(&args)).success()).unwrap()
    };
    let all = rows(&[]);
    let consumers: Vec<_> = all.iter().map(|row| row["consumer"].as_str().unwrap()).collect();
    assert_eq!(consumers, ["worker-a", "worker-b"]);
    assert!(all.iter().all(|row| row["deliveries"] == 1 && row["idle_ms"].is_u64()), "{all:?}");
    let of_b = rows(&["--consumer", "worker-b"]);
    assert_eq!((of_b.len(), &of_b[0]["id"]), (1, &all[1]["id"]));
    assert_eq!(rows(&["--min-idle", "1h"]), [] as [Value; 0]);
    assert_eq!(rows(&["--min-idle", "0ms"]).len(), 2);

    let first = orderflow(&stream.args(&["pending", "notifications", "--count", "1"]));
    assert!(first.stderr.contains("only the first 1 are listed"), "{first:?}");
    let table = first.success();
    let lines: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["ID", "CONSUMER", "IDLE", "DELIVERIES"]);
    assert_eq!((lines.len(), lines[1][1], lines[1][3]), (2, "worker-a", "1"), "{table}");
}

#[tokio::test]
async fn a_group_that_does_not_exist_is_told_with_those_that_do() {
    let server = RedisServer::start().await;
    let stream = two_delivered_of_three(&server).await;
    let stderr = orderflow(&stream.args(&["pending", "notification"])).failure(1);
    assert!(stderr.contains("has no group \"notification\"; it has: analytics, notifications"), "{stderr}");
}

#[test]
fn without_redis_every_tool_says_where_it_looked_and_what_to_do() {
    let url = format!("redis://:s3cret@127.0.0.1:{}/", free_port());
    let address = url.rsplit('@').next().unwrap().trim_end_matches('/');
    let tools: [&[&str]; 16] = [
        &["dlq", "ls"],
        &["dlq", "ls", "g"],
        &["dlq", "redrive", "g", "--all"],
        &["dlq", "show", "g", "5-1"],
        &["groups"],
        &["pending", "g"],
        &["tail"],
        &["tail", "--from", "start"],
        &["replay"],
        &["replay", "--output", "file"],
        &["import", "file", "--yes"],
        &["trim", "--maxlen", "5"],
        &["consumers"],
        &["claim", "g", "a"],
        &["handover", "g", "a", "b"],
        &["analytics", "rebuild"],
    ];
    for tool in tools {
        let stderr = orderflow(&[tool, &["--redis-url", &url]].concat()).failure(1);
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with(&format!("orderflow: Redis at {address}: ")), "{stderr}");
        assert!(stderr.contains("`orderflow up`") && stderr.contains("--redis-url"), "{stderr}");
        assert!(!stderr.contains("s3cret"), "{stderr}");
    }
}

/// A live consumer, as far as anybody can tell, whose process is at `address`.
async fn alive(stream: &TestStream, consumer: &str, address: &str) -> NameLease {
    let (holder, ttl) = (Holder::current("host-1", address), std::time::Duration::from_mins(1));
    NameLease::reserve(&stream.stream, "notifications", consumer, &holder, ttl).await.unwrap()
}

#[tokio::test]
async fn consumers_shows_who_is_alive_and_what_it_has_done() {
    let server = RedisServer::start().await;
    let stream = two_delivered_of_three(&server).await;
    let name = alive(&stream, "worker-b", "127.0.0.1:9102").await;
    let done = ConsumerCounters { processed: 7, acked: 6, claimed: 2, ..ConsumerCounters::default() };
    name.renew(done).await.unwrap();
    let args = ["consumers", "notifications", "--json"];
    let rows: Value = serde_json::from_str(&orderflow(&stream.args(&args)).success()).unwrap();
    assert_eq!((&rows[0]["consumer"], &rows[0]["state"]), (&json!("worker-a"), &json!("unknown")), "{rows}");
    assert_eq!((&rows[1]["state"], &rows[1]["pending"]), (&json!("live"), &json!(1)));
    assert_eq!((&rows[1]["address"], &rows[1]["host"]), (&json!("127.0.0.1:9102"), &json!("host-1")));
    assert_eq!((&rows[1]["processed"], &rows[1]["claimed"]), (&json!(7), &json!(2)));
    name.release(false).await.unwrap();
    let table = orderflow(&stream.args(&["consumers"])).success();
    let lines: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0][..4], ["GROUP", "CONSUMER", "STATE", "PENDING"], "{table}");
    assert_eq!(lines[2][..4], ["notifications", "worker-b", "dead", "1"], "{table}");
    assert_eq!(lines[2][5..8], ["7", "6", "2"], "{table}");
}

#[tokio::test]
async fn handover_moves_what_a_dead_consumer_left_to_a_live_one() {
    let server = RedisServer::start().await;
    let stream = two_delivered_of_three(&server).await;
    let hand_over = |args: &[&str]| orderflow(&stream.args(&[&["handover", "notifications"], args].concat()));
    let stderr = hand_over(&["worker-a", "worker-b"]).failure(1);
    assert!(stderr.contains("has no live consumer worker-b; none is"), "{stderr}");
    let _name = alive(&stream, "worker-b", "").await;
    let stderr = hand_over(&["worker-x", "worker-b"]).failure(1);
    assert!(stderr.contains("no consumer \"worker-x\"; it has: worker-a, worker-b"), "{stderr}");
    let stderr = hand_over(&["worker-a", "worker-a"]).failure(1);
    assert!(stderr.contains("no live consumer worker-a; alive: worker-b"), "not to itself: {stderr}");
    let said = hand_over(&["worker-a", "worker-b"]).success();
    assert!(said.starts_with("1 entry of worker-a handed over to worker-b"), "{said}");
    let rows = stream.stream.pending("notifications", &PendingFilter::default()).await.unwrap();
    assert!(rows.iter().all(|row| row.consumer == "worker-b" && row.deliveries == 1), "{rows:?}");
    let stderr = hand_over(&["worker-b", "worker-x"]).failure(1);
    assert!(stderr.contains("worker-x; alive: worker-b"), "{stderr}");
    // A live one's entries are its own process's to give.
    let _other = alive(&stream, "worker-a", "").await;
    let stderr = hand_over(&["worker-b", "worker-a"]).failure(1);
    assert!(stderr.contains("does not say where it can be reached"), "{stderr}");
}

#[tokio::test]
async fn claim_asks_the_process_that_has_the_consumer() {
    let server = RedisServer::start().await;
    let stream = two_delivered_of_three(&server).await;
    let args = stream.args(&["claim", "notifications", "worker-b", "--min-idle", "5s"]);
    let stderr = orderflow(&args).failure(1);
    assert!(stderr.contains("no live consumer worker-b; none is"), "{stderr}");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let _name = alive(&stream, "worker-b", &address).await;
    let stderr = orderflow(&args).failure(1);
    assert!(stderr.contains("admin.token") && stderr.contains(&address), "{stderr}");

    let worker = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut request = String::new();
        let mut reader = BufReader::new(socket.try_clone().unwrap());
        while !request.ends_with('}') {
            let available = reader.fill_buf().unwrap();
            request.push_str(std::str::from_utf8(available).unwrap());
            let read = available.len();
            reader.consume(read);
        }
        let answer = json!({"min_idle_ms": 5000, "claimed": ["1-0", "2-0"], "processed": 2, "retried": 0,
            "unfinished": 0, "dead_lettered": [], "deleted": ["3-0"]})
        .to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
        std::io::Write::write_all(&mut socket, (head + &answer).as_bytes()).unwrap();
        request
    });
    let token = ["--set", "admin.token=0123456789abcdef"];
    let said = orderflow(&[&args[..], &token].concat()).success();
    assert_eq!(
        said,
        "claimed 2 entries idle for 5s: 2 processed, 0 to be tried again, 0 unfinished, 0 dead letters, 1 whose payload was gone\n"
    );
    let request = worker.join().unwrap().to_ascii_lowercase();
    assert!(request.starts_with("post /admin/consumers/worker-b/claim http/1.1"), "{request}");
    assert!(request.contains("authorization: bearer 0123456789abcdef"), "{request}");
    assert!(request.ends_with("{\"min_idle_ms\":5000}"), "{request}");
}

/// A running `orderflow tail`, killed when dropped.
struct Tail {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Tail {
    fn start(stream: &TestStream, flags: &[&str]) -> Self {
        let dir = temp_dir();
        let mut command = command(BINARY, dir.path());
        command.args(stream.args(&[&["tail"], flags].concat())).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "it ended");
        line
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[tokio::test]
async fn tail_shows_history_then_what_comes_and_ends_on_sigterm() {
    let server = RedisServer::start().await;
    let stream = TestStream::new(&server);
    let first = stream.append("alice").await;
    let second = stream.append("bob").await;
    let mut tail = Tail::start(&stream, &["--from", &first.to_string(), "--json"]);
    let line: Value = serde_json::from_str(&tail.line()).unwrap();
    let fields = json!({"type": "order.paid", "customer": "bob"});
    assert_eq!(line, json!({"id": second.to_string(), "fields": fields}), "after the ID, not from it on");
    let third = stream.append("carol").await;
    assert!(tail.line().contains(&third.to_string()));
    kill(Pid::from_raw(tail.child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(tail.child.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    tail.lines.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[tokio::test]
async fn tail_shows_what_fits_and_ends_after_so_many() {
    let server = RedisServer::start().await;
    let stream = TestStream::new(&server);
    for customer in ["alice", "bob", "alice", "alice"] {
        stream.append(customer).await;
    }
    let tail = |args: &[&str]| {
        let printed = orderflow(&stream.args(&[&["tail", "--count", "2"], args].concat())).success();
        printed.lines().map(|line| line.split("  ").last().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(tail(&["--from", "1m ago"]), ["customer=alice", "customer=bob"]);
    assert_eq!(tail(&["--from", "start", "--customer", "alice"]), ["customer=alice"; 2]);
    assert_eq!(
        tail(&["--from", "yesterday", "--contains", "lic", "--type", "order.paid"]),
        ["customer=alice"; 2]
    );
}

#[tokio::test]
async fn tail_goes_on_after_redis_was_away() {
    let mut server = RedisServer::builder().append_only(true).start().await;
    let stream = TestStream::new(&server);
    stream.append("alice").await;
    let mut tail = Tail::start(&stream, &["--from", "start"]);
    assert!(tail.line().ends_with("  type=order.paid  customer=alice\n"));
    server.restart().await;
    testkit::eventually(std::time::Duration::from_secs(10), "Redis takes an entry again", async || {
        stream.stream.append([("customer", "bob")]).await
    })
    .await;
    assert!(tail.line().ends_with("  customer=bob\n"));
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_tail_quietly() {
    let server = RedisServer::start().await;
    let stream = TestStream::new(&server);
    stream.append("alice").await;
    let dir = temp_dir();
    let mut command = command(BINARY, dir.path());
    command.args(stream.args(&["tail", "--from", "start"])).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("alice"));
    // The pipe is closed now; the next entry finds nobody to read it.
    stream.append("bob").await;
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "");
}
