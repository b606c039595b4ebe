//! Dead letters: listed, filtered, sent back and purged in a stream of progress.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;

use crate::{
    bench::{Bench, SOON},
    http::read,
    workers::TestWorker,
};

/// Dead letters of this many entries of group `g`, the oldest first.
async fn die(bench: &Bench, count: usize) -> Vec<Value> {
    for n in 0..count {
        bench.append(&format!("o-{n}"), "die").await;
    }
    let letters = async || {
        let page = bench.get("/api/groups/g/dead-letters?order=asc&count=500").await.ok();
        let letters = page["letters"].as_array().unwrap().clone();
        (letters.len() == count).then_some(letters)
    };
    eventually(SOON, "all are dead letters", letters).await
}

/// The lines of a bulk operation.
async fn bulk(bench: &Bench, path: &str, body: Value) -> Vec<Value> {
    let answer = read(bench.client.request(Method::POST, path).json(&body)).await;
    assert_eq!(
        (answer.status, &answer.headers["content-type"]),
        (200, &"application/x-ndjson".parse().unwrap()),
        "{answer:?}"
    );
    answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn they_are_listed_filtered_and_shown() {
    let bench = Bench::start(&[]).await;
    let _worker = TestWorker::start(&bench, "g", "one", &["a"]).await;
    let letters = die(&bench, 5).await;
    let counts = bench.get("/api/dead-letters").await.ok();
    assert_eq!(counts, json!({ "groups": [{ "group": "g", "count": 5, "dropped": 0 }] }));
    let first = &letters[0];
    assert_eq!(
        (&first["consumer"], &first["deliveries"], &first["reason"]),
        (&json!("a"), &json!(1), &json!("rejected"))
    );
    assert_eq!((&first["error"], &first["redrives"]), (&json!("told to <die>"), &json!(0)));
    assert!(first["time_ms"].is_u64());

    let ids = async |query: &str| -> Vec<Value> {
        let page = bench.get(&format!("/api/groups/g/dead-letters?{query}")).await.ok();
        page["letters"].as_array().unwrap().iter().map(|letter| letter["letter_id"].clone()).collect()
    };
    let all: Vec<_> = letters.iter().map(|letter| letter["letter_id"].clone()).collect();
    let newest_first: Vec<_> = all.iter().rev().cloned().collect();
    assert_eq!(ids("").await, newest_first);
    // Handlers run side by side: the first to come need not be the first to die.
    let of_order = letters.iter().find(|letter| letter["fields"][1] == json!(["order_id", "o-3"])).unwrap();
    assert_eq!(ids("order_id=o-3").await, [of_order["letter_id"].clone()]);
    assert_eq!(ids(&format!("entry={}", letters[2]["id"].as_str().unwrap())).await, [all[2].clone()]);
    assert_eq!(ids("reason=poison").await, Vec::<Value>::new());
    assert_eq!(ids("type=order.paid&reason=rejected&count=500").await.len(), 5);
    assert_eq!(ids("since_ms=99999999999999").await.len(), 0);
    let page = bench.get("/api/groups/g/dead-letters?count=2").await.ok();
    let rest = ids(&format!("count=10&from={}", page["next"].as_str().unwrap())).await;
    assert_eq!(rest, newest_first[2..]);
    assert_eq!(bench.get("/api/groups/g/dead-letters?reason=bored").await.problem().0, 400);
    let unknown = bench.get("/api/groups/g/dead-letters/1-1").await;
    assert_eq!(unknown.problem(), (404, "/problems/unknown-dead-letter".to_owned()));
}

#[tokio::test]
async fn they_are_sent_back_one_some_or_all_and_purged() {
    let bench = Bench::start(&[]).await;
    let _worker = TestWorker::start(&bench, "g", "one", &["a"]).await;
    let letters = die(&bench, 6).await;
    bench.post("/api/groups/g/pause", json!({})).await.ok();
    let id = |at: usize| letters[at]["letter_id"].clone();
    let end = |lines: &[Value]| lines.last().unwrap()["end"].clone();
    let redrive = "/api/groups/g/dead-letters/redrive";
    let purge = "/api/groups/g/dead-letters/purge";
    let counts = |looked_at: u64, matched: u64, done: u64, gone: u64| {
        json!({ "outcome": "complete", "reason": null, "looked_at": looked_at, "matched": matched, "done": done,
                "gone": gone, "failed": 0 })
    };

    let dry = bulk(&bench, redrive, json!({ "filter": {}, "dry_run": true })).await;
    assert_eq!(end(&dry), counts(6, 6, 6, 0));
    assert_eq!(bench.state().await["groups"][0]["dead_letters"], 6, "a dry run only counts");
    let one = bulk(&bench, redrive, json!({ "ids": [id(0)] })).await;
    assert_eq!(end(&one), counts(1, 1, 1, 0));
    let again = bulk(&bench, redrive, json!({ "ids": [id(0), id(1)] })).await;
    assert_eq!(end(&again), counts(2, 1, 1, 1), "a second click does nothing");
    let state = bench.state().await;
    assert_eq!(
        (&state["groups"][0]["dead_letters"], &state["groups"][0]["redrive_queued"]),
        (&json!(4), &json!(2))
    );
    let purged = bulk(&bench, purge, json!({ "ids": [id(2)] })).await;
    assert_eq!(end(&purged), counts(1, 1, 1, 0));
    let order = &letters[3]["fields"][1][1];
    let filtered = bulk(&bench, purge, json!({ "filter": { "order_id": order } })).await;
    assert_eq!(end(&filtered), counts(3, 1, 1, 0));
    let rest = bulk(&bench, redrive, json!({ "filter": {} })).await;
    assert_eq!(end(&rest), counts(2, 2, 2, 0));

    // They die again, with their history.
    bench.post("/api/groups/g/resume", json!({})).await.ok();
    let again = async || {
        let page = bench.get("/api/groups/g/dead-letters").await.ok();
        let letters = page["letters"].as_array().unwrap().clone();
        (letters.len() == 4).then_some(letters)
    };
    let again = eventually(SOON, "all four are dead letters again", again).await;
    assert!(again.iter().all(|letter| letter["redrives"] == 1), "{again:?}");

    for wrong in [
        json!({}),
        json!({ "ids": [], "rate": 5 }),
        json!({ "ids": [id(0)], "filter": {} }),
        json!({ "filter": {}, "rate": 0 }),
    ] {
        assert_eq!(
            bench.post(redrive, wrong.clone()).await.problem(),
            (422, "/problems/invalid-body".to_owned()),
            "{wrong}"
        );
    }
    assert_eq!(bench.post(redrive, json!({ "filter": { "reason": "bored" } })).await.problem().0, 400);
}

#[tokio::test]
async fn progress_is_told_on_the_way_and_hanging_up_stops_it() {
    let bench = Bench::start(&[]).await;
    let _worker = TestWorker::start(&bench, "g", "one", &["a"]).await;
    die(&bench, 20).await;
    bench.post("/api/groups/g/pause", json!({})).await.ok();
    let request = bench.client.request(Method::POST, "/api/groups/g/dead-letters/redrive");
    let mut answer = request.json(&json!({ "filter": {}, "rate": 4 })).send().await.unwrap();
    let mut done = 0;
    while done < 2 {
        let chunk = answer.chunk().await.unwrap().unwrap();
        let line: Value = serde_json::from_slice(chunk.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
        done = line["progress"]["done"].as_u64().unwrap();
        assert_eq!(line["progress"]["failed"], 0);
    }
    drop(answer);
    // Each look takes longer than one letter's turn: two looks at the same number say that nothing goes on.
    let stopped = async || {
        let before = bench.stream.dead_letter_count("g").await.unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
        let after = bench.stream.dead_letter_count("g").await.unwrap();
        (before == after).then_some(after)
    };
    let left = eventually(SOON, "it has stopped", stopped).await;
    assert!((10..19).contains(&left), "{left} are left");
    let counts = bench.state().await["groups"][0].clone();
    assert_eq!(counts["redrive_queued"].as_u64().unwrap() + left, 20, "what is done is done, the rest stays");
}
