//! CloudEvents over HTTP: three modes in, two out, and a round trip with the SDK of the CloudEvents project.

use std::{path::PathBuf, process::Command};

use serde_json::{Value, json};
use testkit::RedisServer;

use crate::client::{Answer, Api, event};

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

fn envelope(id: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/shop", "type": "order.paid", "subject": format!("o-{id}"),
        "time": "2024-05-29T16:00:13.541Z", "partitionkey": "p",
        "data": {"customer": "alice", "amount": 49.5},
    })
}

async fn fields(api: &Api, id: &Value) -> Vec<(String, String)> {
    let id = id.as_str().expect("an ID");
    let entries: Vec<(String, Vec<(String, String)>)> =
        api.redis(&format!("XRANGE {} {id} {id}", api.stream)).await;
    entries.into_iter().next().expect("an entry").1
}

async fn get(api: &Api, path: &str, accept: &str) -> Answer {
    api.get_with(path, &[("accept", accept)]).await
}

#[tokio::test]
async fn the_three_modes_store_the_same_entry() {
    let api = Api::start().await;
    let structured = api.post_text(STRUCTURED, envelope("1").to_string()).await;
    assert_eq!(structured.status, 201, "{structured:?}");
    let id = structured.body["id"].as_str().unwrap();
    assert_eq!(structured.headers["location"], format!("/v1/events/{id}"));
    // From another source each time: the same event would not be stored again.
    let from = |source: &str| {
        let mut envelope = envelope("1");
        envelope["source"] = json!(source);
        envelope
    };
    let batch = api.post_text(BATCH, json!([from("/batch"), envelope("2")]).to_string()).await;
    assert_eq!((batch.status, &batch.body["accepted"]), (201, &json!(2)), "{batch:?}");
    let headers = [
        ("content-type", "application/json; charset=utf-8"),
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "\"/binary\""),
        ("ce-type", "order.paid"),
        ("ce-subject", "o%2D1"),
        ("ce-time", "2024-05-29T18:00:13.541+02:00"),
        ("ce-partitionkey", "p"),
    ];
    let binary = api.post_with(&headers, r#"{"customer":"alice","amount":49.5}"#.into()).await;
    assert_eq!(binary.status, 201, "{binary:?}");

    let expected = [
        ("type", "order.paid"),
        ("order_id", "o-1"),
        ("customer", "alice"),
        ("amount", "49.50"),
        ("ts_ms", "1716998413541"),
        ("_ce_partitionkey", "p"),
        ("_id", "1"),
    ];
    let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    for (id, source) in [
        (&structured.body["id"], "/shop"),
        (&batch.body["ids"][0], "/batch"),
        (&binary.body["id"], "/binary"),
    ] {
        let mut stored = fields(&api, id).await;
        stored[5..].sort();
        let expected = expected.into_iter().chain([("_source", source)]).map(pair);
        assert_eq!(stored, expected.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn the_same_event_of_the_same_source_is_stored_once_in_whatever_mode() {
    let api = Api::start().await;
    let mut sent = envelope("1");
    sent["traceparent"] = json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let first = api.post_text(STRUCTURED, sent.to_string()).await;
    assert_eq!((first.status, first.is_replay()), (201, false), "{first:?}");
    sent["traceparent"] = json!("00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    sent["tracestate"] = json!("shop=7");
    let again = api.post_text(BATCH, json!([sent]).to_string()).await;
    assert_eq!(
        (again.is_replay(), Some(again.ids()[0].as_str())),
        (true, first.body["id"].as_str()),
        "{again:?}"
    );
    sent["partitionkey"] = json!("q");
    let other = api.post_text(STRUCTURED, sent.to_string()).await;
    other.is_problem(409, "/problems/idempotency-conflict");
    sent["source"] = json!("/market");
    let elsewhere = api.post_text(STRUCTURED, sent.to_string()).await;
    assert_eq!((elsewhere.status, elsewhere.is_replay()), (201, false), "{elsewhere:?}");
    assert_eq!(api.stored().await.len(), 2);
}

#[tokio::test]
async fn what_is_wrong_with_an_envelope_is_named() {
    let api = Api::start().await;
    let mut bad = envelope("1");
    bad["specversion"] = json!("0.3");
    bad["Bad"] = json!("x");
    bad["data"]["_id"] = json!("x");
    let answer = api.post_text(STRUCTURED, bad.to_string()).await;
    answer.is_problem(422, "/problems/invalid-event");
    let named = |answer: &Answer| {
        let errors = answer.body["errors"].as_array().expect("errors");
        let mut named: Vec<_> = errors
            .iter()
            .map(|it| (it["index"].as_u64().unwrap(), it["field"].as_str().unwrap().to_owned()))
            .collect();
        named.sort();
        named
    };
    let field = |index, name: &str| (index, name.to_owned());
    assert_eq!(named(&answer), [field(0, "Bad"), field(0, "data._id"), field(0, "specversion")]);

    let answer = api.post_text(BATCH, json!([envelope("1"), bad, 7]).to_string()).await;
    answer.is_problem(422, "/problems/invalid-event");
    assert_eq!(named(&answer)[3], field(2, ""));
    api.post_text(BATCH, "[]").await.is_problem(422, "/problems/empty-batch");
    api.post_text(BATCH, envelope("1").to_string()).await.is_problem(422, "/problems/invalid-body");
    api.post_text(STRUCTURED, "[]").await.is_problem(422, "/problems/invalid-body");
    api.post_text(STRUCTURED, "{").await.is_problem(400, "/problems/malformed-json");

    let body = || r#"{"order_id":"o","customer":"c","amount":1}"#.into();
    let json_type = ("content-type", "application/json");
    let answer = api.post_with(&[json_type, ("ce-id", "1"), ("ce-source", "/s")], body()).await;
    answer.is_problem(422, "/problems/invalid-event");
    assert_eq!(named(&answer), [field(0, "specversion"), field(0, "type")]);
    let answer = api.post_with(&[json_type, ("ce-id", "%zz")], body()).await;
    answer.is_problem(422, "/problems/invalid-event");
    assert_eq!(named(&answer), [field(0, "id")]);
    let twice = [json_type, ("ce-id", "1"), ("ce-id", "2")];
    let answer = api.post_with(&twice, body()).await;
    assert!(answer.body["errors"][0]["message"].as_str().unwrap().contains("more than once"), "{answer:?}");
    let answer = api.post_with(&[("content-type", "text/plain"), ("ce-id", "1")], body()).await;
    answer.is_problem(415, "/problems/unsupported-media-type");
    assert_eq!(api.redis::<usize>(&format!("EXISTS {}", api.stream)).await, 0);
}

#[tokio::test]
async fn entries_go_out_as_events_when_asked() {
    let api = Api::start().await;
    let posted = api.post_text(STRUCTURED, envelope("1").to_string()).await;
    let path = posted.headers["location"].to_str().unwrap().to_owned();
    let answer = get(&api, &path, STRUCTURED).await;
    assert_eq!((answer.status, &answer.headers["content-type"]), (200, &STRUCTURED.parse().unwrap()));
    assert_eq!(answer.headers["vary"], "accept");
    let mut expected = envelope("1");
    expected["datacontenttype"] = json!("application/json");
    expected["entryid"] = posted.body["id"].clone();
    expected["data"] = json!({"order_id": "o-1", "customer": "alice", "amount": "49.50"});
    assert_eq!(answer.body, expected);

    let again = api.post_text(STRUCTURED, answer.body.to_string()).await;
    assert_eq!(again.status, 201, "what goes out can come in: {again:?}");
    assert_eq!(fields(&api, &again.body["id"]).await, fields(&api, &posted.body["id"]).await);

    let plain = api.post(&event("plain")).await;
    let answer = get(&api, plain.headers["location"].to_str().unwrap(), STRUCTURED).await;
    assert_eq!(answer.body["id"], plain.body["id"]);
    assert_eq!(answer.body["source"], format!("/streams/{}", api.stream));
    assert_eq!(
        (&answer.body["time"], &answer.body["data"]["amount"]),
        (&json!("1970-01-01T00:00:00.001Z"), &json!("49.50"))
    );
}

#[tokio::test]
async fn accept_is_negotiated() {
    let api = Api::start().await;
    let posted = api.post(&event("o")).await;
    let path = posted.headers["location"].to_str().unwrap().to_owned();
    for accept in [
        "*/*",
        "application/json",
        "application/cloudevents+json;q=0.5, application/json",
        "text/html, */*;q=0.1",
    ] {
        let answer = get(&api, &path, accept).await;
        assert_eq!(answer.headers["content-type"], "application/json", "{accept}");
        assert_eq!(
            (&answer.body["fields"]["order_id"], &answer.headers["vary"]),
            (&json!("o"), &"accept".parse().unwrap())
        );
    }
    get(&api, &path, "text/html").await.is_problem(406, "/problems/not-acceptable");
    get(&api, "/v1/events", STRUCTURED).await.is_problem(406, "/problems/not-acceptable");
    assert_eq!(get(&api, "/v1/events", BATCH).await.body.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn pages_of_events_are_linked() {
    let api = Api::start().await;
    for n in 0..5 {
        assert_eq!(api.post_text(STRUCTURED, envelope(&n.to_string()).to_string()).await.status, 201);
    }
    let _: String = api.redis(&format!("XADD {} * any thing", api.stream)).await;
    let (mut path, mut seen, mut pages) = ("/v1/events?count=2&order=asc".to_owned(), Vec::new(), 0);
    loop {
        let answer = get(&api, &path, BATCH).await;
        assert_eq!(answer.headers["content-type"], BATCH);
        seen.extend(answer.body.as_array().unwrap().clone());
        pages += 1;
        let Some(link) = answer.headers.get("link") else { break };
        let link = link.to_str().unwrap();
        path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
        assert!(path.contains("count=2&order=asc&cursor="), "{path}");
    }
    assert!(seen.len() == 6 && pages >= 3, "{pages} pages of {seen:?}");
    assert_eq!(seen[4]["id"], "4");
    let unreadable = &seen[5];
    assert_eq!(unreadable["type"], "orderflow.unreadable-entry");
    assert_eq!(
        (&unreadable["id"], &unreadable["data"]["fields"]["any"]),
        (&unreadable["entryid"], &json!("thing"))
    );
}

#[tokio::test]
async fn a_source_of_a_tenant_is_a_uri_reference() {
    let redis = RedisServer::start().await;
    let stream = format!("{}:{{tenant_a}}", redis.unique_stream("orders"));
    let api = Api::with(redis, &[("stream.key", &stream)]);
    let posted = api.post(&event("o")).await;
    let answer = get(&api, posted.headers["location"].to_str().unwrap(), STRUCTURED).await;
    assert!(answer.body["source"].as_str().unwrap().ends_with("%7Btenant_a%7D"), "{answer:?}");
}

/// `deploy/scripts/ensure-cloudevents.sh` installs it.
#[tokio::test]
async fn the_sdk_of_the_cloudevents_project_agrees() {
    let api = Api::start().await;
    let target = PathBuf::from(env!("CARGO_BIN_EXE_producer-api"));
    let target = target.ancestors().nth(2).expect("the target directory");
    let python = target.join("cloudevents-sdk/bin/python");
    assert!(python.exists(), "run deploy/scripts/ensure-cloudevents.sh: there is no {}", python.display());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/cloudevents_sdk.py");
    let url = format!("http://{}", api.addr);
    let output =
        tokio::task::spawn_blocking(move || Command::new(python).args(["-B", script, &url]).output());
    let output = output.await.unwrap().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(api.stored_orders().await, ["o-structured", "o-binary æ€ %20", "o-batch-0", "o-batch-1"]);
}
