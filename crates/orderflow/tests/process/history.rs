//! replay and import against a real Redis: what was read, what was written, and what came back.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use stream_core::{Entry, RangeQuery, StartAt};
use tempfile::TempDir;
use testkit::{Network, RedisServer, TcpProxy, eventually};

use crate::common::{BINARY, Ended, TestStream, command, temp_dir};

impl TestStream {
    /// The subcommand in a directory.
    fn command(&self, dir: &TempDir, args: &[&str]) -> Command {
        let mut command = command(BINARY, dir.path());
        command.args(self.args(args));
        command
    }

    fn run_in(&self, dir: &TempDir, args: &[&str]) -> Ended {
        Ended::of(&mut self.command(dir, args))
    }

    async fn entries(&self) -> Vec<Entry> {
        self.stream.range(RangeQuery::default(), 100_000).await.unwrap().entries
    }

    /// Adds an entry with this ID.
    async fn add(&self, server: &RedisServer, id: &str, fields: &[(&[u8], &[u8])]) {
        let mut add = redis::cmd("XADD");
        add.arg(&self.key).arg(id);
        for (name, value) in fields {
            add.arg(*name).arg(*value);
        }
        add.query_async::<()>(&mut server.connection().await).await.unwrap();
    }

    /// An entry a millisecond, from 1-0 on.
    async fn orders(&self, server: &RedisServer, count: u64) {
        let mut pipeline = redis::pipe();
        for n in 1..=count {
            let (id, order) = (format!("{n}-0"), format!("o-{n}"));
            let kind = if n % 2 == 0 { "order.paid" } else { "order.placed" };
            pipeline.cmd("XADD").arg(&self.key).arg(id);
            pipeline.arg(&["type", kind, "order_id", &order, "customer", "alice"]).ignore();
        }
        pipeline.query_async::<()>(&mut server.connection().await).await.unwrap();
    }
}

/// What a text editor would lose: order, repeated fields, bytes that are not UTF-8, control characters.
const AWKWARD: [&[(&[u8], &[u8])]; 4] = [
    &[(b"type", b"order.paid"), (b"order_id", b"o-1"), (b"amount", b"49.50")],
    &[(b"z", b"1"), (b"a", b"2"), (b"z", b"3")],
    &[(b"\xff\x00", b"{\"base64\":1}"), (b"line", b"a\nb\r\x1b[2J\x7f")],
    &[(b"empty", b""), (b"", b"no name"), (b"binary", b"\x80\x81\x82")],
];

fn ids(printed: &str) -> Vec<&str> {
    printed.lines().map(|line| line.split(' ').next().unwrap()).collect()
}

#[tokio::test]
async fn replay_prints_the_range_that_was_asked_for() {
    let server = RedisServer::start().await;
    let stream = TestStream::new(&server);
    stream.orders(&server, 250).await;
    let dir = temp_dir();
    let replay = |args: &[&str]| stream.run_in(&dir, &[&["replay"], args].concat());
    let printed = replay(&["--from", "9-0", "--to", "11"]).success();
    assert_eq!(ids(&printed), ["9-0", "10-0", "11-0"], "both ends included");
    assert!(printed.starts_with("9-0  type=order.placed  order_id=o-9  customer=alice\n"), "{printed}");
    assert_eq!(ids(&replay(&["--to", "3", "--reverse"]).success()), ["3-0", "2-0", "1-0"]);
    assert_eq!(replay(&[]).success().lines().count(), 250, "page by page to the end");
    assert_eq!(ids(&replay(&["--type", "order.paid", "--count", "2"]).success()), ["2-0", "4-0"]);
    assert_eq!(ids(&replay(&["--order-id", "o-200"]).success()), ["200-0"]);
    assert_eq!(ids(&replay(&["--contains", "-24"]).success()).len(), 11);
    assert_eq!(replay(&["--from", "15m ago"]).success(), "", "1970 is longer ago");

    let first = replay(&["--count", "2"]);
    assert!(first.stderr.contains("go on with --from 2-1"), "{first:?}");
    let last = replay(&["--reverse", "--count", "1"]);
    assert!(last.stderr.contains("go on with --to 249-18446744073709551615"), "{last:?}");
    assert_eq!(replay(&["--from", "250", "--count", "1"]).stderr, "", "there is no more");
    let none = replay(&["--customer", "bob"]);
    assert!(none.stderr.contains("none of the 250 entries"), "{none:?}");
    none.success();
    let line: Value = serde_json::from_str(&replay(&["--to", "1", "--json"]).success()).unwrap();
    let fields = json!({"type": "order.placed", "order_id": "o-1", "customer": "alice"});
    assert_eq!(line, json!({"id": "1-0", "fields": fields}));
}

#[tokio::test]
async fn whatever_an_entry_holds_survives_the_file() {
    let server = RedisServer::start().await;
    let (stream, copy) = (TestStream::new(&server), TestStream::new(&server));
    for (n, fields) in AWKWARD.into_iter().enumerate() {
        stream.add(&server, &format!("{}-7", n + 1), fields).await;
    }
    let dir = temp_dir();
    let wrote = stream.run_in(&dir, &["replay", "--output", "out.ndjson"]).success();
    assert!(wrote.starts_with("wrote 4 entries ("), "{wrote}");
    assert!(wrote.ends_with(" to out.ndjson, from 1-7 to 4-7\n"), "{wrote}");
    let file = fs::read_to_string(dir.path().join("out.ndjson")).unwrap();
    let lines: Vec<_> = file.lines().collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0], r#"{"id":"1-7","fields":{"type":"order.paid","order_id":"o-1","amount":"49.50"}}"#);
    assert_eq!(lines[1], r#"{"id":"2-7","fields":[["z","1"],["a","2"],["z","3"]]}"#);

    let said = copy.run_in(&dir, &["import", "out.ndjson", "--yes"]).success();
    assert!(said.starts_with("appended 4 entries, as "), "{said}");
    let fields = |entries: Vec<Entry>| entries.into_iter().map(|entry| entry.fields).collect::<Vec<_>>();
    assert_eq!(fields(copy.entries().await), fields(stream.entries().await), "byte for byte");
    assert!(copy.entries().await[0].id.ms > 4, "with new IDs");
    // What tail prints is such a file too.
    let tailed = stream.run_in(&dir, &["tail", "--from", "start", "--count", "4", "--json"]).success();
    assert_eq!(tailed, file);
}

#[tokio::test]
async fn a_file_is_there_whole_or_as_it_was() {
    let server = RedisServer::start().await;
    let stream = TestStream::new(&server);
    stream.orders(&server, 3).await;
    let dir = temp_dir();
    let file = dir.path().join("out");
    fs::write(&file, "precious").unwrap();
    let export = |args: &[&str]| stream.run_in(&dir, &[&["replay", "--output"], args].concat());
    let stderr = export(&["out"]).failure(1);
    assert!(stderr.contains("out exists") && stderr.contains("--force"), "{stderr}");
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    export(&["out", "--force", "--from", "2-0"]).success();
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 2);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o400, 0o400);
    let written: Value = serde_json::from_str(&export(&["new", "--count", "1", "--json"]).success()).unwrap();
    assert_eq!((&written["entries"], &written["first_id"]), (&json!(1), &json!("1-0")));
    let stderr = export(&["nowhere/out"]).failure(1);
    assert!(stderr.contains("there is no directory nowhere"), "{stderr}");
    let stderr = export(&["/dev/null", "--force"]).failure(1);
    assert!(stderr.contains("is no plain file"), "{stderr}");
    let stderr = export(&["-"]).failure(1);
    assert!(stderr.contains("with --json"), "{stderr}");
    assert_eq!(names(dir.path()), ["new", "out"], "nothing unfinished is left");
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_export_that_is_interrupted_or_loses_redis_leaves_no_file() {
    let server = RedisServer::start().await;
    let direct = TestStream::new(&server);
    direct.orders(&server, 20_000).await;
    for by_signal in [true, false] {
        let proxy = TcpProxy::to(server.port()).await;
        let stream = TestStream::at(proxy.url(), direct.key.clone());
        // Slow enough to be caught in the middle of it.
        proxy.set(Network::Slow(Duration::from_millis(50)));
        let dir = temp_dir();
        let mut export = stream.command(&dir, &["replay", "--output", "out"]);
        let child = export.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually(Duration::from_secs(10), "something is being written", async || {
            names(dir.path()).iter().any(|name| name.ends_with(".unfinished")).then_some(())
        })
        .await;
        if by_signal {
            kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
        } else {
            proxy.set(Network::Cut);
        }
        let ended = Ended::from_output(child.wait_with_output().unwrap());
        assert!(ended.stderr.contains("out was not written"), "{ended:?}");
        assert_eq!(ended.code, Some(if by_signal { 130 } else { 1 }), "{ended:?}");
        assert_eq!(names(dir.path()), [""; 0]);
    }
}

#[tokio::test]
async fn an_import_looks_at_everything_first_and_asks() {
    let server = RedisServer::start().await;
    let stream = TestStream::new(&server);
    stream.stream.ensure_group("notifications", StartAt::Beginning).await.unwrap();
    let dir = temp_dir();
    let import = |args: &[&str]| stream.run_in(&dir, &[&["import"], args].concat());
    let entry = "{\"id\":\"5-1\",\"fields\":{\"a\":\"b\"}}\n";
    fs::write(dir.path().join("bad"), format!("{entry}{{}}\n{entry}[1]\n")).unwrap();
    for flags in [&["bad", "--yes"][..], &["bad", "--dry-run"]] {
        let stderr = import(flags).failure(3);
        assert!(stderr.contains("bad:2: missing field `fields`"), "{stderr}");
        assert!(stderr.contains("bad:4: ") && stderr.contains("nothing was appended"), "{stderr}");
    }
    fs::write(dir.path().join("good"), entry.repeat(3)).unwrap();
    let stderr = import(&["good"]).failure(1);
    assert!(stderr.contains("--yes") && stderr.contains("--dry-run"), "{stderr}");
    let dry = import(&["good", "--dry-run"]).success();
    assert!(dry.starts_with("3 entries (they were 5-1 to 5-1) would be appended to "), "{dry}");
    assert!(dry.contains("as new events for the groups notifications"), "{dry}");
    assert_eq!(stream.stream.length().await.unwrap(), 0);
    let tally: Value =
        serde_json::from_str(&import(&["good", "--yes", "--start-line", "3", "--json"]).success()).unwrap();
    assert_eq!((&tally["appended"], &tally["next_line"]), (&json!(1), &Value::Null));
    assert_eq!(stream.stream.length().await.unwrap(), 1);
    let stderr = import(&["nothing", "--yes"]).failure(1);
    assert!(stderr.contains("cannot open nothing"), "{stderr}");
}

#[tokio::test]
async fn standard_input_is_taken_up_to_the_first_line_that_is_no_entry() {
    let server = RedisServer::start().await;
    let stream = TestStream::new(&server);
    let dir = temp_dir();
    let stderr = stream.run_in(&dir, &["import", "-"]).failure(1);
    assert!(stderr.contains("standard input can be read only once") && stderr.contains("--yes"), "{stderr}");
    let mut import = stream.command(&dir, &["import", "-", "--yes"]);
    let mut child =
        import.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"{\"fields\":{\"a\":\"b\"}}\nnonsense\n{\"fields\":{\"a\":\"c\"}}")
        .unwrap();
    let ended = Ended::from_output(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stdout.starts_with("appended 1 entry, as "), "{ended:?}");
    assert!(ended.stderr.contains("-:2: ") && ended.stderr.contains("--start-line 2"), "{ended:?}");
    assert_eq!(stream.stream.length().await.unwrap(), 1);
}

#[tokio::test]
async fn a_pipe_with_a_name_is_read_once_like_standard_input() {
    let server = RedisServer::start().await;
    let stream = TestStream::new(&server);
    let dir = temp_dir();
    let import = |args: &[&str]| {
        let mut command = stream.command(&dir, &[&["import", "/dev/stdin"], args].concat());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // One that refuses does not read it.
        _ = child.stdin.take().unwrap().write_all(b"{\"fields\":{\"a\":\"b\"}}\n");
        Ended::from_output(child.wait_with_output().unwrap())
    };
    let stderr = import(&[]).failure(1);
    assert!(stderr.contains("/dev/stdin can be read only once"), "{stderr}");
    assert!(import(&["--dry-run"]).success().starts_with("1 entry would be appended"));
    assert!(import(&["--yes"]).success().starts_with("appended 1 entry, as "));
    assert_eq!(stream.stream.length().await.unwrap(), 1);
}

#[tokio::test]
async fn an_interrupted_import_goes_on_where_it_stopped() {
    let server = RedisServer::start().await;
    let stream = TestStream::new(&server);
    let dir = temp_dir();
    let lines: Vec<_> = (0..40).map(|n| format!("{{\"fields\":{{\"n\":\"{n}\"}}}}\n")).collect();
    fs::write(dir.path().join("in"), lines.concat()).unwrap();
    let mut import = stream.command(&dir, &["import", "in", "--yes", "--rate", "5"]);
    let child = import.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually(Duration::from_secs(15), "the first are appended", async || {
        (stream.stream.length().await.unwrap() > 0).then_some(())
    })
    .await;
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let ended = Ended::from_output(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(130), "{ended:?}");
    let done = stream.stream.length().await.unwrap();
    assert!(done < 40, "the rate holds: {ended:?}");
    let next = ended.stderr.split("--start-line ").nth(1).unwrap().trim();
    assert_eq!(next, (done + 1).to_string(), "{ended:?}");
    stream.run_in(&dir, &["import", "in", "--yes", "--start-line", next]).success();
    let values: Vec<_> =
        stream.entries().await.iter().map(|entry| entry.fields.get("n").unwrap().to_vec()).collect();
    let expected: Vec<_> = (0..40).map(|n: i32| n.to_string().into_bytes()).collect();
    assert_eq!(values, expected, "each once, in order");
}

#[tokio::test]
async fn a_full_server_or_stream_takes_nothing_and_says_where_to_go_on() {
    let server = RedisServer::start().await;
    let stream = TestStream::new(&server);
    let dir = temp_dir();
    fs::write(dir.path().join("in"), "{\"fields\":{\"a\":\"b\"}}\n".repeat(250)).unwrap();
    let capped = ["import", "in", "--yes", "--set", "retention.hard_cap_entries=150"];
    let ended = stream.run_in(&dir, &capped);
    assert!(ended.stdout.starts_with("appended 200 entries"), "a chunk at a time: {ended:?}");
    let stderr = ended.failure(1);
    assert!(stderr.contains("retention.hard_cap_entries") && stderr.contains("--start-line 201"), "{stderr}");

    let mut connection = server.connection().await;
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).query_async::<()>(&mut connection).await.unwrap();
    let full = ["import", "in", "--yes", "--start-line", "201", "--set", "retention.policy=age"];
    let stderr = stream.run_in(&dir, &full).failure(1);
    assert!(stderr.contains("it is full") && stderr.contains("--start-line 201"), "{stderr}");
    assert_eq!(stream.stream.length().await.unwrap(), 200);
}

#[tokio::test]
async fn an_import_that_loses_redis_names_the_lines_that_nobody_knows_of() {
    let server = RedisServer::start().await;
    let direct = TestStream::new(&server);
    let proxy = TcpProxy::to(server.port()).await;
    let stream = TestStream::at(proxy.url(), direct.key.clone());
    let dir = temp_dir();
    fs::write(dir.path().join("in"), "{\"fields\":{\"a\":\"b\"}}\n".repeat(5_000)).unwrap();
    proxy.set(Network::Slow(Duration::from_millis(100)));
    // Without a look at the cap in between there is always a chunk on its way.
    let mut import = stream.command(&dir, &["import", "in", "--yes", "--set", "retention.policy=age"]);
    let child = import.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually(Duration::from_secs(15), "the first are appended", async || {
        (direct.stream.length().await.unwrap() > 0).then_some(())
    })
    .await;
    proxy.set(Network::Cut);
    let ended = Ended::from_output(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(
        ended.stderr.contains("may or may not have been appended: look with `orderflow replay"),
        "{ended:?}"
    );
    assert!(ended.stderr.contains("go on with --start-line "), "{ended:?}");
}
