//! Pages of the stream and of pending lists, an entry's page, the server.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use stream_core::StartAt;
use testkit::eventually;

use crate::{
    bench::{Bench, SOON},
    http::read,
    workers::TestWorker,
};

#[tokio::test]
async fn the_stream_is_paged_both_ways_and_shown_byte_for_byte() {
    let bench = Bench::start(&[]).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(bench.append(&format!("o-{n}"), "").await.to_string());
    }
    let odd =
        bench.stream.append([("<b>", "<script>alert(1)</script>"), ("a", "1"), ("a", "2")]).await.unwrap();
    ids.push(odd.to_string());
    let walk = async |order: &str, cursor: &str| {
        let (mut found, mut next) = (Vec::new(), String::new());
        for _ in 0..10 {
            let page = bench.get(&format!("/api/entries?count=4&order={order}{next}")).await.ok();
            found.extend(
                page["entries"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()),
            );
            let Some(id) = page["next"].as_str() else { break };
            next = format!("&{cursor}={id}");
        }
        found
    };
    assert_eq!(walk("asc", "start").await, ids);
    let backwards: Vec<_> = ids.iter().rev().cloned().collect();
    assert_eq!(walk("desc", "end").await, backwards);
    let entry = bench.get(&format!("/api/entries/{odd}")).await.ok();
    assert_eq!(entry["fields"], json!([["<b>", "<script>alert(1)</script>"], ["a", "1"], ["a", "2"]]));
    let one = bench.get(&format!("/api/entries?start={0}&end={0}", ids[2])).await.ok();
    assert_eq!(one["entries"].as_array().unwrap().len(), 1);
    let bare = bench.get(&format!("/api/entries?start={}&end=%2B", odd.ms)).await.ok();
    assert!(bare["entries"].as_array().unwrap().iter().any(|it| it["id"] == odd.to_string()));
    for (path, kind) in [
        ("/api/entries?start=x", "invalid-query"),
        ("/api/entries?count=0", "invalid-query"),
        ("/api/entries?order=up", "invalid-query"),
        ("/api/entries/5", "invalid-id"),
    ] {
        assert_eq!(bench.get(path).await.problem(), (400, format!("/problems/{kind}")), "{path}");
    }
}

#[tokio::test]
async fn pending_entries_are_paged_and_filtered() {
    let bench = Bench::start(&[]).await;
    bench.stream.ensure_group("g", StartAt::Beginning).await.unwrap();
    let block = Duration::from_millis(100);
    let mut connection = bench.connector.blocking(block).unwrap();
    for consumer in ["a", "a", "b"] {
        bench.append("o-1", "").await;
        bench.stream.read_new(&mut connection, "g", consumer, 1, block).await.unwrap();
    }
    let page = bench.get("/api/groups/g/pending?count=2").await.ok();
    let entries = page["entries"].as_array().unwrap();
    assert_eq!(
        (entries.len(), &entries[0]["deliveries"], &entries[0]["consumer"]),
        (2, &json!(1), &json!("a"))
    );
    assert!(entries[0]["idle_ms"].is_u64());
    let next = page["next"].as_str().unwrap();
    let rest = bench.get(&format!("/api/groups/g/pending?count=2&after={next}")).await.ok();
    assert_eq!((rest["entries"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    assert_eq!(rest["entries"][0]["consumer"], "b");
    let of_b = bench.get("/api/groups/g/pending?consumer=b").await.ok();
    assert_eq!(of_b["entries"].as_array().unwrap().len(), 1);
    let idle = bench.get("/api/groups/g/pending?min_idle_ms=3600000").await.ok();
    assert_eq!(idle["entries"], json!([]));
    assert_eq!(
        bench.get("/api/groups/x/pending").await.problem(),
        (404, "/problems/unknown-group".to_owned())
    );
}

#[tokio::test]
async fn an_entrys_page_says_where_each_group_stands_with_it() {
    let bench = Bench::start(&[]).await;
    let _worker = TestWorker::start(&bench, "g", "one", &["a"]).await;
    bench.stream.ensure_group("slow", StartAt::Beginning).await.unwrap();
    let done = bench.append("o-1", "").await;
    let waiting = bench.append("o-2", "wait").await;
    let dead = bench.append("o-3", "die").await;
    let state_of = async |id: &str, group: &str| {
        let page = bench.get(&format!("/api/entries/{id}")).await.ok();
        page["groups"].as_array().unwrap().iter().find(|it| it["group"] == group).unwrap().clone()
    };
    let is = async |id: String, group: &str, wanted: &str| {
        let probe = async || {
            let found = state_of(&id, group).await;
            if found["state"] == wanted { Ok(found) } else { Err(found.to_string()) }
        };
        eventually(SOON, "the group stands there", probe).await
    };
    is(done.to_string(), "g", "done").await;
    let parked = is(waiting.to_string(), "g", "waiting_for_retry").await;
    assert_eq!((&parked["consumer"], &parked["deliveries"]), (&json!("a"), &json!(1)));
    let letter = is(dead.to_string(), "g", "dead_letter").await;
    let letter_id = letter["dead_letter_id"].as_str().unwrap();
    let found = bench.get(&format!("/api/groups/g/dead-letters/{letter_id}")).await.ok();
    assert_eq!((&found["id"], &found["error"]), (&json!(dead.to_string()), &json!("told to <die>")));
    is(done.to_string(), "slow", "undelivered").await;

    // Handed to somebody who does nothing with it.
    let block = Duration::from_millis(100);
    let mut connection = bench.connector.blocking(block).unwrap();
    bench.stream.read_new(&mut connection, "slow", "x", 1, block).await.unwrap();
    let pending = is(done.to_string(), "slow", "pending").await;
    assert_eq!((&pending["consumer"], &pending["idle_ms"].is_u64()), (&json!("x"), &true));

    // Sent back while nobody reads.
    bench.post("/api/groups/g/pause", json!({})).await.ok();
    let redrive = bench.client.request(Method::POST, "/api/groups/g/dead-letters/redrive");
    read(redrive.json(&json!({ "ids": [letter_id] }))).await;
    is(dead.to_string(), "g", "sent_back").await;

    let gone = bench.get("/api/entries/1-1").await.ok();
    assert_eq!(gone["fields"], Value::Null);
    let future = format!("{}-0", waiting.ms + 1_000_000);
    assert_eq!(state_of(&future, "g").await["state"], "gone");
}

#[tokio::test]
async fn the_servers_page_tells_of_it_and_of_what_holds_retention_back() {
    let bench = Bench::start(&[("RETENTION__AGE", "1ms"), ("RETENTION__GROUPS", "g")]).await;
    bench.stream.ensure_group("g", StartAt::Beginning).await.unwrap();
    let id = bench.append("o-1", "").await;
    let is_held = async || {
        let server = bench.get("/api/server").await.ok();
        (server["retention"]["holds"] != json!([])).then_some(server)
    };
    let server = eventually(SOON, "the entry is old enough", is_held).await;
    assert!(matches!(server["name"].as_str(), Some("redis" | "valkey")));
    assert_eq!((&server["role"], &server["eviction_policy"]), (&json!("primary"), &json!("noeviction")));
    assert!(server["uptime_s"].is_u64() && server["memory"]["used"].as_u64() > Some(0));
    assert_eq!(
        (&server["memory"]["max"], &server["persistence"]["append_only"]),
        (&Value::Null, &json!(false))
    );
    let hold = &server["retention"]["holds"][0];
    assert_eq!(
        (&hold["group"], &hold["standing"], &hold["needs"]),
        (&json!("g"), &json!("required"), &json!(id.to_string()))
    );
    assert_eq!(server["retention"]["policy"], "guarded");
    assert_eq!(server["retention"]["lost"], json!([{ "group": "g", "entries": 0 }]));
    assert_eq!(server["reaper"], json!({ "active": false, "host": null, "pid": null, "address": null }));
    let capabilities = server["capabilities"].as_array().unwrap();
    assert!(!capabilities.is_empty());
    for capability in capabilities {
        let state = capability["state"].as_str().unwrap();
        assert!(["available", "missing", "denied", "unknown"].contains(&state), "{capability}");
    }
}
