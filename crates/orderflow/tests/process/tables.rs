//! What every reading command shows of one pipeline, as a table and as JSON.

use std::time::Duration;

use stream_core::{ConsumerCounters, DeadReason, Fields, Holder, NameLease, StartAt, StreamId};
use testkit::RedisServer;

use crate::common::{Ended, TestStream, orderflow};

/// The first of the entries, 2024-05-29 16:00:13Z.
const FIRST_MS: u64 = 1_716_998_413_541;

/// Six orders in `events:orders`: one dead, two pending, one not delivered to `notifications`; nothing is new to
/// `analytics`.
async fn pipeline(server: &RedisServer) -> TestStream {
    let stream = TestStream::at(server.url(), "events:orders".to_owned());
    let mut connection = server.connection().await;
    for n in 0..6_u64 {
        let kind = ["placed", "paid", "shipped"][n as usize % 3];
        let (id, kind) = (format!("{}-0", FIRST_MS + n * 1_000), format!("order.{kind}"));
        let (order, amount) = (format!("o-{}", 1_001 + n / 3), format!("{}.50", 10 * n));
        let mut add = redis::cmd("XADD");
        add.arg(&stream.key)
            .arg(id)
            .arg(&["type", &kind, "order_id", &order, "customer", "alice", "amount", &amount]);
        add.query_async::<()>(&mut connection).await.unwrap();
    }
    for group in ["notifications", "analytics"] {
        stream.stream.ensure_group(group, StartAt::Beginning).await.unwrap();
    }
    let holder = Holder { pid: 4242, ..Holder::current("host-1", "127.0.0.1:9102") };
    let name =
        NameLease::reserve(&stream.stream, "notifications", "worker-a", &holder, Duration::from_mins(10));
    let done = ConsumerCounters { processed: 3, acked: 2, claimed: 1, ..ConsumerCounters::default() };
    name.await.unwrap().renew(done).await.unwrap();
    stream.deliver("notifications", "worker-a", 4).await;
    stream.deliver("notifications", "worker-b", 1).await;
    let id = |n: u64| StreamId::new(FIRST_MS + n * 1_000, 0);
    stream.stream.ack("notifications", &[id(0), id(1)]).await.unwrap();
    let fields =
        [("type", "order.shipped"), ("order_id", "o-1001"), ("customer", "alice"), ("amount", "20.50")];
    let fields: Fields = fields.into_iter().collect();
    let why = "no template for order.shipped";
    stream
        .stream
        .dead_letter("notifications", "worker-a", id(2), DeadReason::Rejected, why, &fields)
        .await
        .unwrap();
    stream.deliver("analytics", "worker-c", 6).await;
    stream.stream.ack("analytics", &[0, 1, 2, 3, 4, 5].map(id)).await.unwrap();
    stream
}

/// Both streams and the exit code, with what differs from run to run under a name.
fn shown(ended: &Ended) -> String {
    let Ended { code, stdout, stderr } = ended;
    let code = code.unwrap_or(-1);
    let mut text = stdout.clone();
    if !stderr.is_empty() {
        text.push_str("--- standard error\n");
        text.push_str(stderr);
    }
    format!("{text}--- exit code {code}")
}

macro_rules! assert_shown {
    ($name:expr, $shown:expr) => {
        let mut settings = insta::Settings::clone_current();
        for (pattern, name) in [
            (r"20(2[6-9]|[3-9]\d)-\d\d-\d\d \d\d:\d\d:\d\dZ", "[time]"),
            (r"127\.0\.0\.1:\d{4,5}\b", "[address]"),
            (r"(idle|age|time)_ms.:\d+", "${1}_ms\":[ms]"),
            (r"\(\d+(ms|s) ago\)", "([age] ago)"),
            // A column is as wide as its widest cell.
            (r" +(AGE|IDLE)\b", " $1"),
            (r" +\d+(ms|s)\b", " [idle]"),
            (r" +\d+d( \d+h)?\b", " [age]"),
            (r"\d+\.\d (ms|MiB)", "[n] $1"),
            (r"\d+ ms (ahead of|behind)", "[n] ms [off]"),
            (r"(Redis|Valkey) \d+\.\d+\.\d+", "[server] [version]"),
            (r#"beyond Redis 7.0: [^"\n]*"#, "beyond Redis 7.0: [some]"),
            (r"\b\d+ of (\d+) open", "[n] of $1 open"),
        ] {
            settings.add_filter(pattern, name);
        }
        settings.bind(|| insta::assert_snapshot!($name, $shown));
    };
}

#[tokio::test]
async fn every_reading_command_shows_the_pipeline_as_a_table_and_as_json() {
    let server = RedisServer::start().await;
    let stream = pipeline(&server).await;
    let dead = stream.stream.dead_letters("notifications").ends().await.unwrap().unwrap().0;
    let (dead_ms, dead) = (dead.ms.to_string(), dead.to_string());
    let commands: [(&str, &[&str]); 10] = [
        ("groups", &["groups"]),
        ("consumers", &["consumers"]),
        ("pending", &["pending", "notifications"]),
        ("doctor", &["doctor"]),
        ("dlq", &["dlq", "ls"]),
        ("dlq-ls", &["dlq", "ls", "notifications"]),
        ("dlq-show", &["dlq", "show", "notifications", &dead]),
        ("replay", &["replay", "--count", "4"]),
        ("tail", &["tail", "--from", "start", "--type", "order.paid", "--count", "2"]),
        ("trim", &["trim", "--maxlen", "1", "--dry-run"]),
    ];
    for (name, args) in commands {
        for json in [&[][..], &["--json"]] {
            let ended = orderflow(&stream.args(&[args, json].concat()));
            // As wide as it was, for the columns' sake.
            let shown = shown(&ended).replace(&dead_ms, "9999999999999");
            assert_shown!(format!("{name}{}", json.concat()), shown);
        }
    }
}

#[tokio::test]
async fn an_empty_stream_is_told_as_such() {
    let server = RedisServer::start().await;
    let stream = TestStream::at(server.url(), "events:orders".to_owned());
    let commands: [(&str, &[&str]); 8] = [
        ("groups", &["groups"]),
        ("consumers", &["consumers"]),
        ("pending", &["pending", "notifications"]),
        ("dlq", &["dlq", "ls"]),
        ("dlq-ls", &["dlq", "ls", "notifications"]),
        ("replay", &["replay"]),
        ("trim", &["trim", "--maxlen", "1", "--dry-run"]),
        ("claim", &["claim", "notifications", "worker-a"]),
    ];
    for (name, args) in commands {
        let ended = orderflow(&stream.args(args));
        assert_shown!(format!("empty-{name}"), shown(&ended));
    }
}

#[tokio::test]
async fn a_wrong_name_is_told_with_those_that_there_are() {
    let server = RedisServer::start().await;
    let stream = pipeline(&server).await;
    let commands: [(&str, &[&str]); 8] = [
        ("consumers", &["consumers", "typo"]),
        ("pending", &["pending", "typo"]),
        ("pending-consumer", &["pending", "notifications", "--consumer", "typo"]),
        ("dlq-ls", &["dlq", "ls", "typo"]),
        ("claim", &["claim", "typo", "worker-a"]),
        ("claim-consumer", &["claim", "notifications", "typo"]),
        ("claim-from", &["claim", "notifications", "worker-a", "--from", "typo"]),
        ("handover", &["handover", "notifications", "worker-b", "typo"]),
    ];
    for (name, args) in commands {
        let ended = orderflow(&stream.args(args));
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert_shown!(format!("wrong-{name}"), shown(&ended));
    }
}
