//! The reset of a demo: everything is gone, everybody is there.

use serde_json::{Value, json};
use stream_core::StartAt;
use testkit::eventually;

use crate::{
    bench::{Bench, SOON},
    workers::TestWorker,
};

const DEMO: [(&str, &str); 2] =
    [("CONSOLE__DEMO", "true"), ("CONSOLE__SEED_CONSUMERS", "g/a,g/b,h/c,nowhere/x")];

async fn settled(bench: &Bench, acked: u64) -> Value {
    settled_or_dead(bench, acked, 0).await
}

async fn settled_or_dead(bench: &Bench, acked: u64, dead: u64) -> Value {
    let settled = async || {
        let state = bench.state().await;
        let totals = &state["totals"];
        if totals["acked"] == acked && totals["dead_lettered"] == dead {
            Ok(state)
        } else {
            Err(totals.to_string())
        }
    };
    eventually(SOON, "everything was acked and told", settled).await
}

#[tokio::test]
async fn it_leaves_the_seeds_and_nothing_else() {
    let bench = Bench::start(&DEMO).await;
    let _one = TestWorker::start(&bench, "g", "one", &["a", "b"]).await;
    let _two = TestWorker::start(&bench, "h", "two", &["c", "d"]).await;
    bench.stream.ensure_group("foreign", StartAt::Beginning).await.unwrap();
    bench.stream.create_consumer("g", "dead").await.unwrap();
    bench.post("/api/groups/g/consumers", json!({ "name": "extra" })).await.ok();
    bench.delete("/api/groups/g/consumers/b").await.ok();
    for (order, does) in [("o-1", ""), ("o-2", "die"), ("o-3", "wait")] {
        bench.append(order, does).await;
    }
    // Each of the groups has acked one, buried one, and keeps one for later.
    settled_or_dead(&bench, 2, 2).await;
    bench.post("/api/groups/h/consumers/d/drop-next", json!({ "count": 5 })).await.ok();

    assert_eq!(bench.post("/api/reset", json!({})).await.ok(), json!({ "consumers": 3 }));
    let state = bench.state().await;
    let zero =
        json!({ "produced": 0, "processed": 0, "acked": 0, "claimed": 0, "retried": 0, "dead_lettered": 0 });
    assert_eq!(state["totals"], zero);
    assert_eq!(
        (&state["stream"]["length"], &state["stream"]["last_generated_id"]),
        (&json!(0), &json!("0-0"))
    );
    let mut seen = Vec::new();
    for group in state["groups"].as_array().unwrap() {
        assert_eq!(
            (&group["pending"], &group["dead_letters"], &group["last_delivered_id"]),
            (&json!(0), &json!(0), &json!("0-0"))
        );
        for consumer in group["consumers"].as_array().unwrap() {
            assert_eq!(
                (&consumer["state"], &consumer["paused"], &consumer["drop_next"]),
                (&json!("running"), &json!(false), &json!(0)),
                "{consumer}"
            );
            assert_eq!(
                (&consumer["counters"]["processed"], &consumer["recent"], &consumer["parked"]),
                (&json!(0), &json!([]), &json!(0))
            );
            seen.push(format!("{}/{}", group["name"].as_str().unwrap(), consumer["name"].as_str().unwrap()));
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, ["g/a", "g/b", "h/c"]);
    let groups: Vec<_> =
        state["groups"].as_array().unwrap().iter().map(|group| group["name"].clone()).collect();
    assert!(groups.contains(&json!("foreign")), "{groups:?}");

    // It goes on from there, and counts from 0.
    for n in 0..5 {
        bench.append(&format!("o-{n}"), "").await;
    }
    let after = settled(&bench, 10).await;
    assert_eq!(after["totals"]["produced"], 5);
    assert_eq!(after["totals"]["processed"], 10);
    // And again, by the guide's route.
    let again = bench.client.form("/reset", "").await.ok();
    assert_eq!(again, json!({ "consumers": 3 }));
    bench.append("o-1", "").await;
    settled(&bench, 2).await;
}

#[tokio::test]
async fn two_resets_at_once_lose_nobody() {
    let bench = Bench::start(&DEMO).await;
    let _one = TestWorker::start(&bench, "g", "one", &["a", "b"]).await;
    let _two = TestWorker::start(&bench, "h", "two", &["c"]).await;
    let (first, second) =
        tokio::join!(bench.post("/api/reset", json!({})), bench.post("/api/reset", json!({})));
    assert_eq!((first.ok(), second.ok()), (json!({ "consumers": 3 }), json!({ "consumers": 3 })));
    bench.append("o-1", "").await;
    settled(&bench, 2).await;
}

#[tokio::test]
async fn nothing_is_wiped_where_somebody_would_go_on_with_it_or_it_is_no_demo() {
    let bench = Bench::start(&DEMO).await;
    let hidden = TestWorker::start(&bench, "g", "one", &["a"]).await;
    let _two = TestWorker::start(&bench, "h", "two", &["c"]).await;
    bench.append("o-1", "").await;
    settled(&bench, 2).await;
    hidden.hide();
    let is_hidden = async || bench.consumer("g", "a").await.filter(|it| it["state"] == "unreachable");
    eventually(SOON, "it does not answer", is_hidden).await;
    assert_eq!(
        bench.post("/api/reset", json!({})).await.problem(),
        (502, "/problems/worker-unreachable".to_owned())
    );
    assert_eq!(bench.stream.length().await.unwrap(), 1);
    assert_eq!(bench.consumer("h", "c").await.unwrap()["paused"], false, "nobody was left paused");

    let serious = Bench::start(&[]).await;
    serious.append("o-1", "").await;
    assert_eq!(
        serious.post("/api/reset", json!({})).await.problem(),
        (403, "/problems/not-a-demo".to_owned())
    );
    assert_eq!(serious.stream.length().await.unwrap(), 1);
}

#[tokio::test]
async fn entries_that_are_being_handled_are_waited_for_and_then_nothing_is_wiped() {
    let bench = Bench::start(&DEMO).await;
    let _one = TestWorker::start(&bench, "g", "one", &["a", "b"]).await;
    bench.append("o-1", "hang").await;
    let handled = async || (bench.state().await["groups"][0]["pending"] == 1).then_some(());
    eventually(SOON, "it is being handled", handled).await;
    let answer = bench.post("/api/reset", json!({})).await;
    assert_eq!(answer.problem(), (409, "/problems/consumer-busy".to_owned()));
    assert_eq!(bench.stream.length().await.unwrap(), 1);
    assert_eq!(bench.consumer("g", "b").await.unwrap()["paused"], false);
}
