//! The guide's demo routes, answer by answer.

use serde_json::{Value, json};
use testkit::eventually;

use crate::{
    bench::{Bench, SOON},
    workers::TestWorker,
};

#[tokio::test]
async fn the_state_has_the_demos_shape() {
    let bench = Bench::start(&[]).await;
    let empty = bench.get("/state").await.ok();
    assert_eq!(
        empty,
        json!({
            "stream": { "length": 0, "last_generated_id": "0-0", "first_entry_id": null, "last_entry_id": null },
            "tail": [], "groups": [], "pending": [],
            "stats": { "produced_total": 0, "acked_total": 0, "claimed_total": 0 },
        })
    );
    let _worker = TestWorker::start(&bench, "g", "one", &["b", "a"]).await;
    bench.stream.create_consumer("g", "z-stranger").await.unwrap();
    let acked = bench.append("o-1", "").await.to_string();
    let waiting = bench.append("o-2", "wait").await.to_string();
    let settled = async || {
        let state = bench.get("/state").await.ok();
        (state["stats"]["acked_total"] == 1 && state["pending"] != json!([])).then_some(state)
    };
    let state = eventually(SOON, "both were handled", settled).await;
    assert_eq!(
        state["stream"],
        json!({ "length": 2, "last_generated_id": waiting, "first_entry_id": acked, "last_entry_id": waiting })
    );
    assert_eq!(state["tail"][0]["id"], waiting);
    assert_eq!(state["tail"][0]["fields"]["order_id"], "o-2");
    let group = &state["groups"][0];
    assert_eq!(
        (&group["name"], &group["consumers"], &group["pending"], &group["lag"]),
        (&json!("g"), &json!(3), &json!(1), &json!(0))
    );
    assert_eq!(group["last_delivered_id"], waiting);
    let consumers = group["consumers_detail"].as_array().unwrap();
    let names: Vec<_> = consumers.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "z-stranger"]);
    for consumer in consumers {
        for (member, is) in [
            ("processed", Value::is_u64 as fn(&Value) -> bool),
            ("reaped", Value::is_u64),
            ("crashed_drops", Value::is_u64),
            ("paused", Value::is_boolean),
            ("crash_queued", Value::is_u64),
            ("pending", Value::is_u64),
            ("idle_ms", Value::is_u64),
            ("recent", Value::is_array),
        ] {
            assert!(is(&consumer[member]), "{member} in {consumer}");
        }
        assert_eq!(consumer["group"], "g");
        assert_eq!(consumer["alive"], consumer["name"] != "z-stranger", "known only to Redis");
    }
    let recent: Vec<_> = consumers.iter().flat_map(|it| it["recent"].as_array().unwrap()).collect();
    let of = |id: &str| *recent.iter().find(|it| it["id"] == id).unwrap();
    assert_eq!(
        (&of(&acked)["type"], &of(&acked)["acked"], &of(&acked)["note"]),
        (&json!("order.paid"), &json!(true), &json!(""))
    );
    assert_eq!(of(&acked)["fields"]["order_id"], "o-1");
    assert_eq!((&of(&waiting)["acked"], &of(&waiting)["note"]), (&json!(false), &json!("not yet")));
    let pending = &state["pending"][0];
    assert_eq!(
        (&pending["group"], &pending["id"], &pending["deliveries"]),
        (&json!("g"), &json!(waiting), &json!(1))
    );
    assert!(pending["idle_ms"].is_u64() && pending["consumer"].is_string());
}

#[tokio::test]
async fn workers_are_added_crashed_claimed_from_and_removed() {
    let bench = Bench::start(&[]).await;
    let _worker = TestWorker::start(&bench, "g", "one", &["a"]).await;
    let form = async |path: &str, form: &str| {
        let answer = bench.client.form(path, form).await;
        (answer.status, answer.json())
    };
    let error = |(status, body): (u16, Value), wanted: u16, part: &str| {
        assert_eq!(status, wanted, "{body}");
        assert!(body["error"].as_str().unwrap().contains(part), "{body}");
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    };
    // The last one stays, whether or not anything is pending.
    let (status, last) = form("/remove-worker", "group=g&name=a").await;
    assert_eq!((status, &last["removed"], &last["reason"]), (409, &json!(false), &json!("no-peer")));
    assert!(last["message"].is_string());

    assert_eq!(form("/add-worker", "group=g&name=+b+").await, (200, json!({ "group": "g", "name": "b" })));
    error(form("/add-worker", "group=g&name=b").await, 409, "already exists");
    error(form("/add-worker", "group=g&name=").await, 400, "required");
    error(form("/add-worker", "").await, 400, "required");
    error(form("/add-worker", "group=g&name=a+b").await, 400, "cannot be a consumer's name");

    // Whatever is read now is b's, and is dropped.
    bench.post("/api/groups/g/consumers/a/pause", json!({})).await;
    assert_eq!(form("/crash", "group=g&name=b&count=3").await, (200, json!({ "queued": 3 })));
    error(form("/crash", "group=g&name=nobody").await, 404, "nobody");
    for n in 0..3 {
        bench.append(&format!("o-{n}"), "").await;
    }
    let crashed = async || {
        let state = bench.get("/state").await.ok();
        (state["pending"].as_array().unwrap().len() == 3).then_some(state)
    };
    let state = eventually(SOON, "three are pending", crashed).await;
    let b = &state["groups"][0]["consumers_detail"][1];
    assert_eq!((&b["crashed_drops"], &b["crash_queued"], &b["pending"]), (&json!(3), &json!(0), &json!(3)));
    assert!(state["pending"].as_array().unwrap().iter().all(|row| row["deliveries"] == 1));

    error(form("/autoclaim", "group=g").await, 400, "required");
    error(form("/autoclaim", "group=g&consumer=nobody").await, 404, "nobody");
    bench.idle("g", 3).await;
    let claimed = form("/autoclaim", "group=g&consumer=a").await;
    assert_eq!(claimed, (200, json!({ "claimed": 3, "processed": 3, "deleted": [], "min_idle_ms": 300 })));

    // b leaves with entries that it has dropped.
    assert_eq!(
        form("/crash", "group=g&name=b").await,
        (200, json!({ "queued": 1 })),
        "one unless said otherwise"
    );
    bench.append("o-9", "").await;
    let dropped =
        async || (bench.get("/state").await.ok()["pending"].as_array().unwrap().len() == 1).then_some(());
    eventually(SOON, "it was dropped", dropped).await;
    let (status, removed) = form("/remove-worker", "group=g&name=b").await;
    assert_eq!(
        (status, removed),
        (200, json!({ "removed": true, "handed_over_to": "a", "handed_over_count": 1 }))
    );
    let (status, gone) = form("/remove-worker", "group=g&name=b").await;
    assert_eq!((status, &gone["removed"], &gone["reason"]), (200, &json!(false), &json!("not-found")));
    let (status, gone) = form("/remove-worker", "group=nothing&name=b").await;
    assert_eq!((status, &gone["reason"]), (200, &json!("not-found")));
    error(form("/remove-worker", "name=b").await, 400, "required");
}

#[tokio::test]
async fn entries_are_replayed_and_trimmed() {
    let bench = Bench::start(&[]).await;
    let mut ids = Vec::new();
    for n in 0..300 {
        ids.push(bench.append(&format!("o-{n}"), "").await.to_string());
    }
    let all = bench.get("/replay").await.ok();
    assert_eq!((&all["start"], &all["end"], &all["limit"]), (&json!("-"), &json!("+"), &json!(20)));
    assert_eq!(all["entries"].as_array().unwrap().len(), 20);
    assert_eq!(
        (&all["entries"][0]["id"], &all["entries"][0]["fields"]["order_id"]),
        (&json!(ids[0]), &json!("o-0"))
    );
    let some = bench.get(&format!("/replay?start={}&end=+&count=99999", ids[290])).await.ok();
    assert_eq!((&some["limit"], some["entries"].as_array().unwrap().len()), (&json!(500), 10));
    assert_eq!(bench.get("/replay?count=0").await.ok()["limit"], 1);
    for wrong in ["/replay?start=x", "/replay?count=many", "/replay?count=1&count=2"] {
        let answer = bench.get(wrong).await;
        assert_eq!((answer.status, answer.json()["error"].is_string()), (400, true), "{wrong}");
    }
    let trimmed = bench.client.form("/trim", "maxlen=50").await.ok();
    let length = bench.stream.length().await.unwrap();
    assert!((51..150).contains(&length), "{length}");
    assert_eq!(trimmed, json!({ "deleted": 300 - length, "maxlen": 50 }));
    assert_eq!(bench.client.form("/trim", "").await.ok(), json!({ "deleted": length, "maxlen": 0 }));
    assert_eq!(bench.client.form("/trim", "maxlen=x").await.status, 400);
}

#[tokio::test]
async fn refusals_look_like_the_demos() {
    let bench = Bench::start(&[]).await;
    for (answer, status) in [
        (bench.client.form("/reset", "").await, 403),
        (bench.post("/trim", json!({ "maxlen": 0 })).await, 415),
        (bench.client.form("/state", "").await, 405),
    ] {
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.headers["content-type"], "application/json");
        assert!(answer.json()["error"].is_string(), "{answer:?}");
    }
    // Nobody takes events.
    let answer = bench.client.form("/produce", "count=1").await;
    assert_eq!((answer.status, answer.json()["error"].is_string()), (500, true), "{answer:?}");
    let api = bench.post("/api/produce", json!({ "count": 1, "type": null })).await;
    assert_eq!(api.problem(), (502, "/problems/producer-unreachable".to_owned()));
}
