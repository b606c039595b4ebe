//! `orderflow analytics rebuild` with the real binaries: under load, with the worker killed in the middle, to the cent.

use std::{
    collections::HashMap,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use e2e::{Pipeline, Role, binary};
use redis::aio::MultiplexedConnection;
use serde_json::Value;
use testkit::eventually;

const SOON: Duration = Duration::from_mins(1);
const HISTORY: u64 = 8_000;

/// Appends events numbered from `from` on as another tool would; what they are worth can be told by their number.
async fn append(connection: &mut MultiplexedConnection, stream: &str, numbers: std::ops::Range<u64>) {
    for start in numbers.clone().step_by(500) {
        let mut pipeline = redis::pipe();
        for n in start..numbers.end.min(start + 500) {
            let amount = format!("{}.{:02}", cents(n) / 100, cents(n) % 100);
            pipeline.cmd("XADD").arg(stream).arg("*").arg("type").arg("order.paid");
            pipeline.arg("order_id").arg(format!("o-{n}")).arg("customer").arg(format!("c-{}", n % 7));
            pipeline.arg("amount").arg(amount).ignore();
        }
        pipeline.query_async::<()>(connection).await.expect("XADD");
    }
}

const fn cents(n: u64) -> u64 {
    n * 37 % 10_007
}

/// What the summary has to say of the events up to this one.
fn expected(events: u64) -> (u64, String) {
    let sum: u64 = (0..events).map(cents).sum();
    (events, format!("{}.{:02}", sum / 100, sum % 100))
}

async fn summary(pipeline: &Pipeline) -> (u64, String) {
    let summary = pipeline.analytics("/v1/analytics/summary").await;
    let paid = &summary["by_type"]["order.paid"];
    assert_eq!(summary["revenue"], paid["amount"]);
    (paid["count"].as_u64().expect("a count"), paid["amount"].as_str().expect("an amount").to_owned())
}

async fn is_counted(pipeline: &Pipeline, events: u64) {
    eventually(SOON, "every event is counted, to the cent", async || {
        let counted = summary(pipeline).await;
        if counted == expected(events) { Ok(()) } else { Err(format!("{counted:?}")) }
    })
    .await;
}

async fn state(connection: &mut MultiplexedConnection, stream: &str) -> HashMap<String, String> {
    let key = format!("{{{stream}}}:projection:analytics");
    redis::cmd("HGETALL").arg(key).query_async(connection).await.expect("HGETALL")
}

fn orderflow(pipeline: &Pipeline, args: &[&str]) -> Child {
    Command::new(binary("orderflow"))
        .args(args)
        .args(["--redis-url", &pipeline.redis.url()])
        .current_dir(pipeline.redis.dir())
        .env_remove("REDIS_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("orderflow starts")
}

async fn ended(child: Child) -> (Option<i32>, String, String) {
    let wait = tokio::task::spawn_blocking(move || child.wait_with_output());
    let Output { status, stdout, stderr } = wait.await.expect("no panic").expect("its own child");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn spoilt_figures_are_rebuilt_to_the_cent_under_load_although_the_worker_is_killed() {
    let mut pipeline = Pipeline::new().await;
    let stream = pipeline.stream.clone();
    let mut connection = pipeline.connection().await;
    let mut worker = pipeline.start(Role::Analytics);
    worker.ready().await;
    append(&mut connection, &stream, 0..HISTORY).await;
    is_counted(&pipeline, HISTORY).await;

    // Somebody's mistake.
    let totals = format!("{{{stream}}}:analytics:totals");
    let spoil = ["order.paid:c", "123", "order.paid:n", "1"];
    redis::cmd("HSET").arg(&totals).arg(&spoil).exec_async(&mut connection).await.unwrap();
    assert_eq!(summary(&pipeline).await, (1, "1.23".to_owned()));

    let command = orderflow(&pipeline, &["analytics", "rebuild", "--json"]);
    eventually(SOON, "the replay is under way", async || {
        let state = state(&mut connection.clone(), &stream).await;
        let seen: u64 = state.get("seen").and_then(|seen| seen.parse().ok()).unwrap_or(0);
        if seen > 0 { Ok(()) } else { Err(format!("{state:?}")) }
    })
    .await;
    worker.kill().await;
    let killed_at = state(&mut connection, &stream).await;
    assert_eq!(killed_at["phase"], "replay", "killed too late to show anything: {killed_at:?}");
    append(&mut connection, &stream, HISTORY..HISTORY + 2_000).await;
    let mut worker = pipeline.start(Role::Analytics);
    worker.ready().await;
    append(&mut connection, &stream, HISTORY + 2_000..HISTORY + 4_000).await;

    let (code, stdout, stderr) = ended(command).await;
    assert_eq!(code, Some(0), "{stdout}{stderr}{}", worker.log());
    let report: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((&report["outcome"], &report["generation"]), (&"done".into(), &1.into()));
    assert_eq!(report["counted"], HISTORY);
    is_counted(&pipeline, HISTORY + 4_000).await;
    let customers = pipeline.analytics("/v1/analytics/customers/top?n=10").await;
    assert_eq!(customers.as_array().map(Vec::len), Some(7));
    let order = pipeline.analytics("/v1/analytics/orders/o-17").await;
    assert_eq!((&order["state"], order["history"].as_array().map(Vec::len)), (&"paid".into(), Some(1)));

    // What is not in the stream any more would be missing: refused, and said how much and since when.
    redis::cmd("XTRIM")
        .arg(&stream)
        .arg("MAXLEN")
        .arg("=")
        .arg(1_000)
        .exec_async(&mut connection)
        .await
        .unwrap();
    let (code, _, stderr) = ended(orderflow(&pipeline, &["analytics", "rebuild"])).await;
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains(&format!("at least {} events", HISTORY + 3_000)), "{stderr}");
    is_counted(&pipeline, HISTORY + 4_000).await;

    // Nobody does it: it is called off, and the command that waits says so.
    worker.kill().await;
    let waiting = orderflow(&pipeline, &["analytics", "rebuild", "--accept-loss"]);
    eventually(SOON, "it is asked for", async || {
        (state(&mut connection.clone(), &stream).await["phase"] == "requested").then_some(())
    })
    .await;
    let (code, stdout, _) = ended(orderflow(&pipeline, &["analytics", "rebuild", "--abort"])).await;
    assert_eq!((code, stdout.as_str()), (Some(0), "called off; the figures are as they were\n"));
    assert_eq!(ended(waiting).await.0, Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_summary_is_shown_as_a_table_or_as_json() {
    let mut pipeline = Pipeline::new().await;
    let mut connection = pipeline.connection().await;
    let mut worker = pipeline.start(Role::Analytics);
    worker.ready().await;
    append(&mut connection, &pipeline.stream.clone(), 0..10).await;
    is_counted(&pipeline, 10).await;
    let url = pipeline.url(Role::Analytics, "");
    let (code, table, _) = ended(orderflow(&pipeline, &["analytics", "summary", "--url", &url])).await;
    assert_eq!(code, Some(0));
    let revenue = expected(10).1;
    let row = table.lines().find(|line| line.starts_with("order.paid ")).expect("a row");
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["order.paid", "10", &revenue]);
    assert!(table.contains(&format!("revenue    {revenue}")), "{table}");
    let args = ["analytics", "summary", "--json", "--window", "1h", "--url", &url];
    let (_, json, _) = ended(orderflow(&pipeline, &args)).await;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["customers"], json["from_ts_ms"].is_u64()), (&7.into(), true));
    let wrong = ended(orderflow(&pipeline, &["analytics", "summary", "--window", "5", "--url", &url])).await;
    assert_eq!(wrong.0, Some(1));
    assert!(wrong.2.contains("400"), "{}", wrong.2);
}
