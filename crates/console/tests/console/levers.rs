//! The levers, each against running workers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stream_core::StreamId;
use testkit::eventually;

use crate::{
    bench::{Bench, SOON},
    workers::TestWorker,
};

/// Lets a consumer drop everything that comes, so that it is pending and nobody's.
async fn crash(bench: &Bench, group: &str, consumer: &str, count: u64) -> Vec<StreamId> {
    let queued = bench
        .post(&format!("/api/groups/{group}/consumers/{consumer}/drop-next"), json!({ "count": count }))
        .await;
    assert_eq!(queued.ok(), json!({ "queued": count }));
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(bench.append(&format!("o-{n}"), "").await);
    }
    let all = async || {
        let found = bench.consumer(group, consumer).await?;
        (found["dropped"] == count && found["pending"] == count).then_some(())
    };
    eventually(SOON, "everything was dropped", all).await;
    ids
}

#[tokio::test]
async fn a_consumer_is_paused_resumed_crashed_and_another_claims_what_it_left() {
    let bench = Bench::start(&[]).await;
    let _worker = TestWorker::start(&bench, "g", "one", &["a", "b"]).await;
    assert_eq!(bench.post("/api/groups/g/consumers/b/pause", json!({})).await.status, 204);
    assert_eq!(bench.consumer("g", "b").await.unwrap()["paused"], true);
    let ids = crash(&bench, "g", "a", 3).await;
    assert_eq!(bench.post("/api/groups/g/consumers/b/resume", json!({})).await.status, 204);
    assert_eq!(bench.consumer("g", "b").await.unwrap()["paused"], false);

    let short = bench.post("/api/groups/g/consumers/b/claim", json!({ "min_idle_ms": 1 })).await;
    assert_eq!(short.problem(), (422, "/problems/min-idle-too-short".to_owned()));
    bench.idle("g", 3).await;
    let report = bench.client.send(reqwest::Method::POST, "/api/groups/g/consumers/b/claim", None).await.ok();
    let texts: Vec<_> = ids.iter().map(ToString::to_string).collect();
    assert_eq!(report["claimed"], json!(texts));
    assert_eq!((&report["processed"], &report["min_idle_ms"]), (&json!(3), &json!(300)));
    for member in ["dead_lettered", "deleted"] {
        assert_eq!(report[member], json!([]));
    }
    assert_eq!((&report["retried"], &report["unfinished"]), (&json!(0), &json!(0)));
    // What was done is told with the next renewal of the name.
    let told = async || {
        let group = bench.state().await["groups"][0].clone();
        (group["pending"] == 0 && group["totals"]["claimed"] == 3).then_some(())
    };
    eventually(SOON, "it is in the totals", told).await;
}

#[tokio::test]
async fn a_consumer_is_added_to_the_process_with_the_fewest_or_to_the_one_named() {
    let bench = Bench::start(&[]).await;
    let one = TestWorker::start(&bench, "g", "one", &["a", "b"]).await;
    let two = TestWorker::start(&bench, "g", "two", &["c"]).await;
    let added = bench.post("/api/groups/g/consumers", json!({ "name": "d" })).await;
    assert_eq!(added.status, 201);
    assert_eq!(added.json(), json!({ "group": "g", "name": "d", "process": two.id }));
    let added = bench.post("/api/groups/g/consumers", json!({ "name": "e", "process": one.id })).await;
    assert_eq!(added.ok()["process"], one.id);
    assert_eq!(
        bench.consumer("g", "d").await.unwrap()["state"],
        "running",
        "listed before it was handed anything"
    );

    let problem = async |body: Value| bench.post("/api/groups/g/consumers", body).await.problem();
    let kind = |status, kind: &str| (status, format!("/problems/{kind}"));
    assert_eq!(problem(json!({ "name": "a" })).await, kind(409, "consumer-exists"));
    assert_eq!(problem(json!({ "name": "x", "process": "three/1" })).await, kind(404, "unknown-process"));
    for name in ["", "a b", "a/b"] {
        assert_eq!(problem(json!({ "name": name })).await, kind(422, "invalid-name"), "{name}");
    }
    let answer = bench.post("/api/groups/nothing/consumers", json!({ "name": "x" })).await;
    assert_eq!(answer.problem(), kind(404, "unknown-group"));
    bench.stream.ensure_group("idle", stream_core::StartAt::Beginning).await.unwrap();
    let answer = bench.post("/api/groups/idle/consumers", json!({ "name": "x" })).await;
    assert_eq!(answer.problem(), kind(503, "no-process"));
}

#[tokio::test]
async fn of_two_that_add_one_name_at_the_same_time_one_succeeds() {
    let bench = Bench::start(&[]).await;
    let one = TestWorker::start(&bench, "g", "one", &["a"]).await;
    let two = TestWorker::start(&bench, "g", "two", &["b"]).await;
    for (round, processes) in [[&one.id, &one.id], [&one.id, &two.id]].iter().enumerate() {
        let name = format!("new-{round}");
        let add = |process: &str| {
            bench.post("/api/groups/g/consumers", json!({ "name": name, "process": process }))
        };
        let begun = Instant::now();
        let (first, second) = tokio::join!(add(processes[0]), add(processes[1]));
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "{first:?} {second:?}");
        let loser = if first.status == 409 { first } else { second };
        assert_eq!(loser.problem().1, "/problems/consumer-exists");
        assert!(loser.json()["detail"].as_str().unwrap().contains("already exists"), "{loser:?}");
        // Across processes the loser waits until it sees the winner renew its name, a fraction of the lease.
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        let holders = bench.state().await["processes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|process| process["consumers"].as_array().unwrap().iter().any(|it| *it == *name))
            .count();
        assert_eq!(holders, 1);
    }
}

#[tokio::test]
async fn a_removed_consumer_hands_its_entries_over_and_the_last_one_stays() {
    let bench = Bench::start(&[]).await;
    let _worker = TestWorker::start(&bench, "g", "one", &["a"]).await;
    crash(&bench, "g", "a", 3).await;
    let refused = bench.delete("/api/groups/g/consumers/a").await;
    assert_eq!(refused.problem(), (409, "/problems/no-peer".to_owned()));
    assert_eq!(refused.json()["pending"], 3);
    bench.post("/api/groups/g/consumers", json!({ "name": "b" })).await.ok();
    let wrong = bench.delete("/api/groups/g/consumers/a?to=nobody").await;
    assert_eq!(wrong.problem(), (409, "/problems/not-a-peer".to_owned()));
    let removed = bench.delete("/api/groups/g/consumers/a?to=b").await.ok();
    assert_eq!(removed, json!({ "handed_over_to": "b", "handed_over": 3, "deleted": true }));
    let handled = async || (bench.state().await["groups"][0]["pending"] == 0).then_some(());
    eventually(SOON, "the other one has handled them", handled).await;
    assert_eq!(
        bench.delete("/api/groups/g/consumers/a").await.problem(),
        (404, "/problems/unknown-consumer".to_owned())
    );

    // The process that has no consumer any more is still known, and can be given one.
    assert_eq!(bench.delete("/api/groups/g/consumers/b").await.ok()["deleted"], true);
    bench.post("/api/groups/g/consumers", json!({ "name": "c" })).await.ok();
    assert_eq!(bench.consumer("g", "c").await.unwrap()["state"], "running");
}

#[tokio::test]
async fn a_dead_consumer_is_removed_as_well() {
    let bench = Bench::start(&[]).await;
    let _worker = TestWorker::start(&bench, "g", "one", &["a"]).await;
    bench.post("/api/groups/g/consumers/a/pause", json!({})).await;
    let id = bench.append("o-1", "").await;
    // Another client has read it and has gone.
    let block = Duration::from_millis(100);
    let mut connection = bench.connector.blocking(block).unwrap();
    assert_eq!(bench.stream.read_new(&mut connection, "g", "gone", 10, block).await.unwrap().len(), 1);
    for lever in ["pause", "claim"] {
        let answer = bench.post(&format!("/api/groups/g/consumers/gone/{lever}"), json!({})).await;
        assert_eq!(answer.problem(), (409, "/problems/consumer-not-alive".to_owned()), "{lever}");
    }
    let wrong = bench.delete("/api/groups/g/consumers/gone?to=nobody").await;
    assert_eq!(wrong.problem(), (409, "/problems/not-a-peer".to_owned()));
    let removed = bench.delete("/api/groups/g/consumers/gone").await.ok();
    assert_eq!(removed, json!({ "handed_over_to": "a", "handed_over": 1, "deleted": true }));
    assert_eq!(bench.get("/api/groups/g/pending").await.ok()["entries"][0]["consumer"], "a");
    assert!(bench.consumer("g", "gone").await.is_none());

    // Without anything pending it needs nobody.
    bench.stream.create_consumer("g", "idle").await.unwrap();
    let removed = bench.delete("/api/groups/g/consumers/idle").await.ok();
    assert_eq!(removed, json!({ "handed_over_to": null, "handed_over": 0, "deleted": true }));
    bench.post("/api/groups/g/consumers/a/resume", json!({})).await;
    let handled = async || {
        bench.get("/api/groups/g/pending").await.ok()["entries"].as_array().unwrap().is_empty().then_some(())
    };
    eventually(SOON, "the peer has handled it", handled).await;
    assert_eq!(bench.get(&format!("/api/entries/{id}")).await.ok()["groups"][0]["state"], "done");
}

#[tokio::test]
async fn entries_are_handed_over_between_live_consumers_and_from_dead_ones() {
    let bench = Bench::start(&[]).await;
    let _worker = TestWorker::start(&bench, "g", "one", &["a", "b"]).await;
    bench.post("/api/groups/g/consumers/b/pause", json!({})).await;
    crash(&bench, "g", "a", 2).await;
    bench.post("/api/groups/g/consumers/a/pause", json!({})).await;
    let over = bench.post("/api/groups/g/consumers/a/handover", json!({ "to": "b" })).await.ok();
    assert_eq!((&over["lost"], &over["kept"]), (&json!([]), &json!(0)));
    let block = Duration::from_millis(100);
    let mut connection = bench.connector.blocking(block).unwrap();
    bench.append("o-9", "").await;
    bench.stream.read_new(&mut connection, "g", "gone", 10, block).await.unwrap();
    let over = bench.post("/api/groups/g/consumers/gone/handover", json!({ "to": "b" })).await.ok();
    assert_eq!(over, json!({ "moved": 1, "lost": [], "kept": 0 }));
    let wrong = bench.post("/api/groups/g/consumers/gone/handover", json!({ "to": "gone" })).await;
    assert_eq!(wrong.problem(), (409, "/problems/not-a-peer".to_owned()));
}

#[tokio::test]
async fn a_whole_group_obeys_or_says_who_does_not() {
    let bench = Bench::start(&[]).await;
    let one = TestWorker::start(&bench, "g", "one", &["a"]).await;
    let _two = TestWorker::start(&bench, "g", "two", &["b"]).await;
    assert_eq!(bench.post("/api/groups/g/pause", json!({})).await.ok(), json!({ "processes": 2 }));
    for name in ["a", "b"] {
        assert_eq!(bench.consumer("g", name).await.unwrap()["paused"], true);
    }
    assert_eq!(bench.post("/api/groups/g/resume", json!({})).await.ok(), json!({ "processes": 2 }));
    assert_eq!(
        bench.post("/api/groups/g/claiming", json!({ "auto": true })).await.ok(),
        json!({ "processes": 2 })
    );
    assert_eq!(bench.state().await["groups"][0]["claim_auto"], true);
    one.hide();
    let answer = bench.post("/api/groups/g/claiming", json!({ "auto": false })).await;
    assert_eq!(answer.problem(), (502, "/problems/worker-unreachable".to_owned()));
    assert_eq!((&answer.json()["obeyed"], &answer.json()["asked"]), (&json!(1), &json!(2)));
    let lone = bench.post("/api/groups/g/consumers/a/pause", json!({})).await;
    assert_eq!(lone.problem(), (502, "/problems/worker-unreachable".to_owned()));
    let nobody = bench.post("/api/groups/nothing/pause", json!({})).await;
    assert_eq!(nobody.problem(), (503, "/problems/no-process".to_owned()));
}

#[tokio::test]
async fn faults_are_injected_only_where_that_is_on() {
    let bench = Bench::start(&[]).await;
    let _worker =
        TestWorker::with(&bench, "g", "one", &["a"], |settings| settings.fault_injection = false).await;
    let answer = bench.post("/api/groups/g/consumers/a/drop-next", json!({ "count": 1 })).await;
    assert_eq!(answer.problem(), (403, "/problems/fault-injection-off".to_owned()));
    let state = bench.state().await;
    assert_eq!(state["groups"][0]["fault_injection"], false);
    let demo = bench.client.form("/crash", "group=g&name=a").await;
    assert_eq!((demo.status, demo.json()["error"].is_string()), (403, true));
}

#[tokio::test]
async fn without_a_token_for_the_workers_the_console_says_what_to_set() {
    let bench = Bench::start(&[("ADMIN__TOKEN", "")]).await;
    let _worker = TestWorker::start(&bench, "g", "one", &["a"]).await;
    let consumer = bench.consumer("g", "a").await.unwrap();
    assert_eq!((&consumer["state"], &consumer["alive"]), (&json!("unreachable"), &json!(true)));
    let state = bench.state().await;
    assert!(state["processes"][0]["reason"].as_str().unwrap().contains("ORDERFLOW__ADMIN__TOKEN"));
    for (path, body) in
        [("/api/groups/g/consumers", json!({ "name": "b" })), ("/api/groups/g/consumers/a/pause", json!({}))]
    {
        let answer = bench.post(path, body).await;
        assert_eq!(answer.problem(), (503, "/problems/no-admin-token".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_trim_is_approximate_unless_it_is_to_be_exact() {
    let bench = Bench::start(&[]).await;
    let mut ids = Vec::new();
    for n in 0..300 {
        ids.push(bench.append(&format!("o-{n}"), "").await);
    }
    let about = bench.post("/api/trim", json!({ "maxlen": 50 })).await.ok();
    let length = about["length"].as_u64().unwrap();
    assert!((51..150).contains(&length), "whole nodes of at most 100 entries only: {about}");
    assert_eq!(about["deleted"], 300 - length);
    let exact = bench.post("/api/trim", json!({ "maxlen": 50, "exact": true })).await.ok();
    assert_eq!(exact, json!({ "deleted": length - 50, "length": 50 }));
    let before = bench.post("/api/trim", json!({ "min_id": ids[290].to_string(), "exact": true })).await.ok();
    assert_eq!(before, json!({ "deleted": 40, "length": 10 }));
    for wrong in [json!({}), json!({ "maxlen": 1, "min_id": "5-1" }), json!({ "min_id": "x" })] {
        assert_eq!(
            bench.post("/api/trim", wrong).await.problem(),
            (422, "/problems/invalid-body".to_owned())
        );
    }
}
