//! produce against a server that answers in every way producer-api may.

use std::{io::Write as _, process::Stdio};

use serde_json::{Value, json};
use testkit::free_port;

use crate::{
    common::{BINARY, Ended, command, orderflow, temp_dir},
    http::{Answer, Producer},
};

fn event(order: usize) -> String {
    json!({"type": "order.paid", "order_id": format!("o-{order}"), "customer": "alice", "amount": "49.50"})
        .to_string()
}

fn orders(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["order_id"].as_str().unwrap()).collect()
}

/// Runs `produce --file events.ndjson` on these lines.
fn produce(producer: &Producer, lines: &[String], flags: &[&str]) -> Ended {
    let dir = temp_dir();
    std::fs::write(dir.path().join("events.ndjson"), lines.join("\n")).unwrap();
    let mut command = command(BINARY, dir.path());
    command.args(["produce", "--file", "events.ndjson", "--url", &producer.url]).args(flags);
    Ended::of(&mut command)
}

#[test]
fn one_event_is_sent_as_given_and_its_id_printed() {
    let producer = Producer::start([]);
    let flags = ["--type", "order.paid", "--order-id", "o-1", "--customer", "Zoë", "--amount", "49.5"];
    let more = ["--field", "note=a=b", "--ts-ms", "1716998413541", "--url", &producer.url];
    assert_eq!(orderflow(&[&["produce"][..], &flags, &more].concat()).success(), "1-0\n");
    let expected = json!({
        "type": "order.paid", "order_id": "o-1", "customer": "Zoë", "amount": "49.5",
        "ts_ms": "1716998413541", "note": "a=b",
    });
    assert_eq!(producer.requests(), [[expected]]);
}

#[test]
fn one_wrong_event_names_every_problem_and_sends_nothing() {
    let producer = Producer::start([]);
    let flags = ["--type", "order.lost", "--order-id", "", "--customer", "c", "--amount", "1.234"];
    let more = ["--field", "_id=x", "--field", "type=y", "--url", &producer.url];
    let stderr = orderflow(&[&["produce"][..], &flags, &more].concat()).failure(3);
    for field in ["type", "order_id", "amount", "_id"] {
        assert!(stderr.contains(&format!("the event: {field}: ")), "{field} in {stderr}");
    }
    assert!(producer.requests().is_empty());
}

#[test]
fn a_file_goes_in_batches_of_500_in_its_order() {
    let producer = Producer::start([]);
    let lines: Vec<_> = (0..1_001).map(event).collect();
    let stdout = produce(&producer, &lines, &[]).success();
    assert!(stdout.starts_with("1001 sent, 0 rejected, "), "{stdout}");
    assert!(stdout.ends_with(" events/s\n"), "{stdout}");
    let requests = producer.requests();
    assert_eq!(requests.iter().map(Vec::len).collect::<Vec<_>>(), [500, 500, 1]);
    let expected: Vec<_> = (0..1_001).map(|order| format!("o-{order}")).collect();
    assert_eq!(orders(&requests.concat()), expected);
}

#[test]
fn standard_input_is_a_file_too() {
    let producer = Producer::start([]);
    let dir = temp_dir();
    let mut command = command(BINARY, dir.path());
    command.args(["produce", "--file", "-", "--url", &producer.url]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}\n\n{}\n[]", event(1), event(2)).unwrap();
    drop(stdin);
    let ended = Ended::from_output(child.wait_with_output().unwrap());
    assert!(ended.stderr.contains("stdin:4: the body is an array"), "{ended:?}");
    assert_eq!(ended.code, Some(3));
}

#[test]
fn a_wrong_line_stops_before_its_batch() {
    let producer = Producer::start([]);
    let mut lines: Vec<_> = (0..510).map(event).collect();
    lines[504] = event(504).replace("49.50", "1e3");
    lines[506] = "{".to_owned();
    let ended = produce(&producer, &lines, &[]);
    assert!(ended.stdout.starts_with("500 sent, 2 rejected, "), "{ended:?}");
    let stderr = ended.failure(3);
    assert!(stderr.contains("events.ndjson:505: amount: \"1e3\" has an exponent"), "{stderr}");
    assert!(stderr.contains("events.ndjson:507: malformed JSON: EOF"), "{stderr}");
    assert!(stderr.contains("nothing from events.ndjson:501 to events.ndjson:510 was sent"), "{stderr}");
    assert_eq!(producer.requests().len(), 1);
}

#[test]
fn keep_going_skips_wrong_lines_alone() {
    let producer = Producer::start([]);
    let lines = [event(0), "nonsense".to_owned(), event(2)];
    let ended = produce(&producer, &lines, &["--keep-going"]);
    assert!(ended.stdout.starts_with("2 sent, 1 rejected, "), "{ended:?}");
    assert!(ended.failure(3).starts_with("events.ndjson:2: "));
    assert_eq!(orders(&producer.requests().concat()), ["o-0", "o-2"]);
}

fn not_stored() -> Value {
    json!({"title": "Redis is unavailable", "status": 503, "stored": "no"})
}

#[test]
fn what_was_not_stored_is_sent_again_after_the_time_asked_for() {
    let producer = Producer::start([
        Answer::Is(503, "retry-after: 0\r\n", not_stored()),
        Answer::Is(429, "retry-after: 0\r\n", json!({"title": "Too many events are waiting"})),
    ]);
    let ended = produce(&producer, &[event(0), event(1)], &[]);
    assert!(ended.stderr.contains("trying 2 again"), "{ended:?}");
    assert!(ended.stderr.contains("Redis is unavailable"), "{ended:?}");
    assert!(ended.success().starts_with("2 sent, "));
    let requests = producer.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|events| orders(events) == ["o-0", "o-1"]));
}

#[test]
fn trying_again_has_a_bound() {
    let producer = Producer::start([Answer::Is(503, "retry-after: 10\r\n", not_stored())]);
    let ended = produce(&producer, &[event(0)], &["--retry-for", "5s"]);
    assert!(ended.stdout.starts_with("0 sent, "), "{ended:?}");
    assert!(ended.failure(1).contains("events.ndjson:1: not stored (503 Service Unavailable: Redis is"));
    assert_eq!(producer.requests().len(), 1);
}

#[test]
fn what_may_have_been_stored_is_told_and_not_sent_again() {
    let unknown = json!({"title": "Redis did not answer in time", "stored": "unknown"});
    for answer in [
        Answer::Is(503, "retry-after: 0\r\n", unknown),
        Answer::Is(502, "", Value::Null),
        Answer::Is(201, "", json!({"ids": []})),
        Answer::None,
    ] {
        let producer = Producer::start([answer]);
        let ended = produce(&producer, &[event(0), event(1)], &["--keep-going"]);
        assert!(ended.stdout.starts_with("0 sent, 0 rejected, 2 unknown, "), "{ended:?}");
        let stderr = ended.failure(4);
        assert!(
            stderr.contains(
                "events.ndjson:1 to events.ndjson:2: these 2 events may or may not have been stored"
            ),
            "{stderr}"
        );
        assert_eq!(producer.requests().len(), 1);
    }
}

#[test]
fn of_a_parted_answer_only_what_was_not_stored_is_sent_again() {
    let parted = json!({"accepted": 1, "failed": 2, "results": [
        {"index": 0, "stored": "no", "problem": {"title": "Redis refused the operation", "stored": "no"}},
        {"index": 1, "stored": "yes", "id": "1-0"},
        {"index": 2, "stored": "no", "problem": {"title": "Redis refused the operation", "stored": "no"}},
    ]});
    let producer = Producer::start([Answer::Is(207, "retry-after: 0\r\n", parted)]);
    let ended = produce(&producer, &[event(0), event(1), event(2)], &[]);
    assert!(ended.success().starts_with("3 sent, "));
    assert_eq!(orders(&producer.requests()[1]), ["o-0", "o-2"]);
}

#[test]
fn the_servers_own_rules_are_told_by_line() {
    let errors = json!({"title": "Invalid event", "errors": [
        {"index": 1, "field": "type", "message": "\"order.paid\" is not an allowed type"},
    ]});
    let lines = [event(0), event(1), event(2)];
    let producer = Producer::start([Answer::Is(422, "", errors.clone())]);
    let stderr = produce(&producer, &lines, &[]).failure(3);
    assert!(stderr.contains("events.ndjson:2: type: \"order.paid\" is not an allowed type"), "{stderr}");
    assert_eq!(producer.requests().len(), 1);

    let producer = Producer::start([Answer::Is(422, "", errors)]);
    let ended = produce(&producer, &lines, &["--keep-going"]);
    assert!(ended.stdout.starts_with("2 sent, 1 rejected, "), "{ended:?}");
    assert_eq!(ended.code, Some(3));
    assert_eq!(orders(&producer.requests()[1]), ["o-0", "o-2"]);
}

#[test]
fn a_refusal_of_everything_stops() {
    let producer = Producer::start([Answer::Is(404, "", Value::Null)]);
    let stderr = produce(&producer, &[event(0)], &[]).failure(1);
    assert!(stderr.contains("events.ndjson:1: refused by http://127.0.0.1:"), "{stderr}");
    assert!(stderr.contains("404 Not Found"), "{stderr}");
}

#[test]
fn made_up_events_are_valid() {
    let producer = Producer::start([]);
    let stdout = orderflow(&["produce", "--random", "501", "--url", &producer.url]).success();
    assert!(stdout.starts_with("501 sent, 0 rejected, "), "{stdout}");
    assert_eq!(producer.requests().iter().map(Vec::len).collect::<Vec<_>>(), [500, 1]);
}

#[test]
fn an_api_that_is_not_there_is_told_with_what_to_do() {
    let url = format!("http://127.0.0.1:{}", free_port());
    let stderr = orderflow(&["produce", "--random", "1", "--url", &url]).failure(1);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(&format!("cannot reach producer-api at {url}/v1/events: Connection refused")));
    assert!(stderr.contains("`orderflow up`") && stderr.contains("--url"), "{stderr}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let stderr = orderflow(&["produce", "--file", "nowhere.ndjson"]).failure(1);
    assert!(stderr.starts_with("orderflow: cannot open nowhere.ndjson: No such file"), "{stderr}");
}
