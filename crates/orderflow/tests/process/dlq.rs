//! dlq ls, show, redrive and purge against a real Redis.

use std::process::Stdio;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use stream_core::{DeadLetterQuery, DeadReason, Fields, RangeQuery, StartAt, StreamId};
use testkit::{RedisServer, eventually};

use crate::common::{BINARY, Ended, TestStream, command, orderflow, temp_dir};

const GROUP: &str = "notifications";

/// Lets `count` orders die in the group: every third one as poison, the others rejected.
async fn died(server: &RedisServer, count: usize) -> (TestStream, Vec<StreamId>) {
    let stream = TestStream::new(server);
    for group in [GROUP, "analytics"] {
        stream.stream.ensure_group(group, StartAt::Beginning).await.unwrap();
    }
    for n in 0..count {
        let fields = [("type", "order.paid"), ("order_id", &format!("o-{n}")), ("note", "a\u{1b}[2Jb")];
        let fields: Fields = fields.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let id = stream.stream.append(fields.iter()).await.unwrap();
        stream.deliver(GROUP, "worker-a", 1).await;
        let reason = if n % 3 == 0 { DeadReason::Poison } else { DeadReason::Rejected };
        stream.stream.dead_letter(GROUP, "worker-a", id, reason, "no such template", &fields).await.unwrap();
    }
    let dead = stream.dead_letters().await;
    (stream, dead)
}

impl TestStream {
    /// The IDs of the group's dead letters.
    async fn dead_letters(&self) -> Vec<StreamId> {
        let query = DeadLetterQuery { limit: 1_000, ..DeadLetterQuery::default() };
        let page = self.stream.dead_letters(GROUP).page(&query).await.unwrap();
        page.letters.iter().map(|letter| letter.id).collect()
    }

    async fn sent_back(&self) -> Vec<stream_core::Entry> {
        self.stream.redrive(GROUP).range(RangeQuery::default(), 1_000).await.unwrap().entries
    }

    fn dlq(&self, args: &[&str]) -> Ended {
        orderflow(&self.args(&[&["dlq"], args].concat()))
    }

    fn dlq_json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.dlq(&[args, &["--json"]].concat()).success()).unwrap()
    }
}

#[tokio::test]
async fn ls_lists_the_newest_first_and_what_fits() {
    let server = RedisServer::start().await;
    let (stream, dead) = died(&server, 6).await;
    let table = stream.dlq(&["ls", GROUP]).success();
    let lines: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["ID", "AGE", "REASON", "ENTRY", "TYPE", "ORDER", "ERROR"]);
    assert_eq!((lines.len(), lines[1][0]), (7, dead[5].to_string().as_str()));
    assert_eq!(lines[1][2], "rejected");
    assert_eq!(lines[1][4..], ["order.paid", "o-5", "no", "such", "template"]);

    let orders = |args: &[&str]| -> Vec<String> {
        let page = stream.dlq_json(&[&["ls", GROUP], args].concat());
        let letters = page["letters"].as_array().unwrap();
        letters.iter().map(|letter| letter["fields"]["order_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(orders(&["--reason", "poison"]), ["o-3", "o-0"]);
    assert_eq!(orders(&["--order-id", "o-4"]), ["o-4"]);
    assert_eq!(orders(&["--type", "order.placed"]), [""; 0]);
    assert_eq!(orders(&["--oldest-first", "--count", "2"]), ["o-0", "o-1"]);
    assert_eq!(orders(&["--older-than", "1h"]), [""; 0]);
    assert_eq!(orders(&["--since", "1h", "--count", "6"]).len(), 6);
    assert_eq!(orders(&["--since", "2026-01-01T00:00:00Z", "--until", "2026-01-02T00:00:00Z"]).len(), 0);
}

#[tokio::test]
async fn ls_goes_on_where_it_stopped() {
    let server = RedisServer::start().await;
    let (stream, dead) = died(&server, 6).await;
    let mut seen = Vec::new();
    let mut from: Option<String> = None;
    loop {
        let mut args = vec!["ls", GROUP, "--reason", "poison", "--scan", "2"];
        args.extend(from.iter().flat_map(|from| ["--from", from.as_str()]));
        let page = stream.dlq_json(&args);
        assert!(page["scanned"].as_u64().unwrap() <= 2);
        seen.extend(page["letters"].as_array().unwrap().iter().map(|letter| letter["id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        from = Some(next.to_owned());
    }
    assert_eq!(seen, [json!(dead[3].to_string()), json!(dead[0].to_string())]);
    let stopped = stream.dlq(&["ls", GROUP, "--scan", "2"]);
    assert!(stopped.stderr.contains("go on with --from "), "{stopped:?}");
}

#[tokio::test]
async fn ls_without_a_group_counts_and_a_wrong_group_is_told() {
    let server = RedisServer::start().await;
    let (stream, dead) = died(&server, 2).await;
    let rows = stream.dlq_json(&["ls"]);
    assert_eq!((&rows[0]["group"], &rows[0]["dead_letters"]), (&json!("analytics"), &json!(0)));
    assert_eq!((&rows[1]["group"], &rows[1]["dead_letters"]), (&json!(GROUP), &json!(2)));
    assert_eq!((&rows[1]["newest_ms"], &rows[1]["redriving"]), (&json!(dead[1].ms), &json!(0)));
    assert!(stream.dlq(&["ls"]).success().starts_with("GROUP "));
    assert!(stream.dlq(&["ls", "analytics"]).stderr.contains("no dead letters of group analytics"));
    for args in [
        &["ls", "typo"][..],
        &["show", "typo", "5-1"],
        &["redrive", "typo", "--all"],
        &["purge", "typo", "--all", "--yes"],
    ] {
        let stderr = stream.dlq(args).failure(1);
        assert!(stderr.contains("has no group \"typo\"; it has: analytics, notifications"), "{stderr}");
    }
    let stderr = stream.dlq(&["ls", "--reason", "poison"]).failure(1);
    assert!(stderr.contains("name the group"), "{stderr}");
}

#[tokio::test]
async fn show_tells_the_story_the_payload_and_where_the_entry_is() {
    let server = RedisServer::start().await;
    let (stream, dead) = died(&server, 1).await;
    let id = dead[0].to_string();
    let shown = stream.dlq(&["show", GROUP, &id]).success();
    for line in
        ["reason       poison", "error        no such template", "in stream    yes", "redriving    no"]
    {
        assert!(shown.lines().any(|shown| shown == line), "{line:?} in:\n{shown}");
    }
    assert!(shown.ends_with("note      a\\u{1b}[2Jb\n"), "a terminal would obey it: {shown:?}");
    stream.dlq(&["redrive", GROUP, &id]).success();
    let gone = stream.dlq(&["show", GROUP, &id]).failure(1);
    assert!(
        gone.contains(&format!("has no dead letter {id}")) && gone.contains("orderflow dlq ls"),
        "{gone}"
    );

    let (other, dead) = died(&server, 1).await;
    let json = other.dlq_json(&["show", GROUP, &dead[0].to_string()]);
    assert_eq!(
        (&json["consumer"], &json["deliveries"], &json["in_stream"]),
        (&json!("worker-a"), &json!(1), &json!(true))
    );
    assert_eq!(json["fields"]["note"], "a\u{1b}[2Jb");
}

#[tokio::test]
async fn redrive_sends_one_back_once() {
    let server = RedisServer::start().await;
    let (stream, dead) = died(&server, 2).await;
    let id = dead[0].to_string();
    let dry = stream.dlq(&["redrive", GROUP, &id, "--dry-run"]).success();
    assert_eq!(dry, "1 would be sent back, 0 not\n");
    assert!(stream.sent_back().await.is_empty());
    assert_eq!(stream.dlq(&["redrive", GROUP, &id]).success(), "1 sent back, 0 not\n");
    let back = stream.sent_back().await;
    assert_eq!((back.len(), back[0].fields.get("order_id")), (1, Some(&b"o-0"[..])));
    let again = stream.dlq(&["redrive", GROUP, &id, &dead[1].to_string()]);
    assert_eq!((again.code, again.stdout.as_str()), (Some(3), "1 sent back, 1 not\n"));
    assert!(
        again.stderr.contains(&format!("{id} is no dead letter of group {GROUP}: sent back before")),
        "{again:?}"
    );
    assert_eq!(stream.sent_back().await.len(), 2);
}

#[tokio::test]
async fn redrive_sends_back_what_fits_and_tells_what_cannot() {
    let server = RedisServer::start().await;
    let (stream, _) = died(&server, 6).await;
    let totals = stream.dlq_json(&["redrive", GROUP, "--reason", "poison", "--dry-run"]);
    assert_eq!((&totals["done"], stream.dead_letters().await.len()), (&json!(2), 6));
    assert_eq!(stream.dlq(&["redrive", GROUP, "--reason", "poison"]).success(), "2 sent back\n");
    let id = stream.append("zoe").await;
    stream.deliver(GROUP, "worker-a", 1).await;
    let mut connection = server.connection().await;
    redis::cmd("XDEL")
        .arg(&stream.key)
        .arg(id.to_string())
        .query_async::<i64>(&mut connection)
        .await
        .unwrap();
    let none = Fields::default();
    stream.stream.dead_letter(GROUP, "worker-a", id, DeadReason::Poison, "", &none).await.unwrap();
    let all = stream.dlq(&["redrive", GROUP, "--all", "--rate", "1000"]);
    assert_eq!((all.code, all.stdout.as_str()), (Some(3), "4 sent back, 1 without payload\n"));
    assert!(all.stderr.contains("purge them"), "{all:?}");
    assert_eq!((stream.sent_back().await.len(), stream.dead_letters().await.len()), (6, 1));
}

#[tokio::test]
async fn an_interrupted_redrive_says_how_far_it_came() {
    let server = RedisServer::start().await;
    let (stream, _) = died(&server, 20).await;
    let dir = temp_dir();
    let mut command = command(BINARY, dir.path());
    command.args(stream.args(&["dlq", "redrive", GROUP, "--all", "--rate", "1"]));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually(std::time::Duration::from_secs(15), "the first is sent back", async || {
        (!stream.sent_back().await.is_empty()).then_some(())
    })
    .await;
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let ended = Ended::from_output(child.wait_with_output().unwrap());
    let sent = stream.sent_back().await.len();
    assert_eq!((ended.code, ended.stdout), (Some(130), format!("{sent} sent back\n")));
    assert!(ended.stderr.contains("interrupted"), "{}", ended.stderr);
    assert_eq!(stream.dead_letters().await.len(), 20 - sent);
}

#[tokio::test]
async fn a_redrive_that_fails_says_why_and_what_to_do() {
    let server = RedisServer::start().await;
    let (stream, _) = died(&server, 3).await;
    let redrive = stream.stream.key().redrive(GROUP);
    let mut connection = server.connection().await;
    redis::cmd("SET").arg(redrive.as_str()).arg("text").query_async::<()>(&mut connection).await.unwrap();
    let stderr = stream.dlq(&["redrive", GROUP, "--all"]).failure(1);
    assert!(stderr.contains("stopped with 0 sent back; the same command goes on"), "{stderr}");
    assert!(stderr.contains(redrive.as_str()) && stderr.contains("delete or rename it"), "{stderr}");
    assert_eq!(stream.dead_letters().await.len(), 3);
}

#[tokio::test]
async fn purge_needs_a_yes_and_deletes_what_fits() {
    let server = RedisServer::start().await;
    let (stream, dead) = died(&server, 6).await;
    let unasked = stream.dlq(&["purge", GROUP, "--all"]).failure(1);
    assert!(unasked.contains("--yes") && unasked.contains("--dry-run"), "{unasked}");
    assert_eq!(stream.dlq(&["purge", GROUP, "--all", "--dry-run"]).success(), "6 would be purged\n");
    assert_eq!(stream.dlq(&["purge", GROUP, "--older-than", "1h", "--yes"]).success(), "0 purged\n");
    assert_eq!(stream.dead_letters().await.len(), 6);
    let ids = [dead[1].to_string(), dead[1].to_string()];
    let dry = stream.dlq(&["purge", GROUP, &ids[0], "--dry-run"]).success();
    assert_eq!(dry, "1 would be purged, 0 not there\n");
    assert_eq!(stream.dlq(&["purge", GROUP, &ids[0], "--yes"]).success(), "1 purged, 0 not there\n");
    stream.dlq(&["purge", GROUP, &ids[0], "--yes"]).failure(3);
    assert_eq!(stream.dlq(&["purge", GROUP, "--reason", "poison", "--yes"]).success(), "2 purged\n");
    let totals = stream.dlq_json(&["purge", GROUP, "--all", "--yes"]);
    assert_eq!((&totals["done"], stream.dead_letters().await.len()), (&json!(3), 0));
    assert!(stream.sent_back().await.is_empty());
}
