//! The state: of groups and consumers, of processes that do not answer, of Redis gone and back.

use serde_json::{Value, json};
use stream_core::StartAt;
use testkit::eventually;

use crate::{
    bench::{Bench, SOON},
    workers::TestWorker,
};

fn by_name<'a>(list: &'a Value, name: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|it| it["name"] == name).unwrap()
}

#[tokio::test]
async fn groups_consumers_and_processes_are_seen_as_they_are() {
    let bench = Bench::start(&[]).await;
    let one = TestWorker::start(&bench, "g", "one", &["b", "a"]).await;
    let _two = TestWorker::with(&bench, "g", "two", &["c"], |settings| {
        settings.claim_auto = true;
        settings.fault_injection = false;
    })
    .await;
    bench.stream.ensure_group("foreign", StartAt::Beginning).await.unwrap();
    bench.stream.create_consumer("foreign", "x").await.unwrap();
    let first = bench.append("o-1", "").await;
    let last = bench.append("o-2", "wait").await;

    let is_settled = async || {
        let state = bench.state().await;
        let totals = &state["totals"];
        (totals["acked"] == 1 && totals["retried"] == 1).then_some(state)
    };
    let state = eventually(SOON, "what was done has been told", is_settled).await;
    assert_eq!(state["redis"]["available"], true);
    assert_eq!(state["stream"]["length"], 2);
    assert_eq!(state["stream"]["first_id"], first.to_string());
    assert_eq!(state["stream"]["last_generated_id"], last.to_string());
    assert_eq!(
        state["totals"],
        json!({ "produced": 2, "processed": 2, "acked": 1, "claimed": 0, "retried": 1, "dead_lettered": 0 })
    );
    assert_eq!(state["tail"][0]["id"], last.to_string(), "the newest first");
    assert_eq!(state["tail"][0]["fields"][1], json!(["order_id", "o-2"]));

    let group = by_name(&state["groups"], "g");
    assert_eq!((&group["managed"], &group["pending"], &group["lag"]), (&json!(true), &json!(1), &json!(0)));
    assert_eq!(
        (&group["claim_auto"], &group["claim_min_idle_ms"]),
        (&json!(true), &json!(300)),
        "one of them does"
    );
    assert_eq!((&group["fault_injection"], &group["lag_ms"]), (&json!(true), &json!(0)));
    assert!(group["oldest_pending_ms"].is_u64());
    let names: Vec<_> = group["consumers"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let with = |outcome: &str| {
        let consumers = group["consumers"].as_array().unwrap().iter();
        consumers.clone().find(|it| it["recent"][0]["outcome"] == outcome).unwrap_or_else(|| {
            panic!("nobody has {outcome}: {group}");
        })
    };
    let acked =
        &with("acked")["recent"].as_array().unwrap().iter().find(|it| it["outcome"] == "acked").unwrap();
    assert_eq!(
        (&acked["id"], &acked["type"], &acked["attempt"]),
        (&json!(first.to_string()), &json!("order.paid"), &json!(1))
    );
    let waiting = with("retried");
    assert_eq!(
        (&waiting["pending"], &waiting["parked"], &waiting["state"]),
        (&json!(1), &json!(1), &json!("running"))
    );
    assert_eq!(waiting["recent"][0]["reason"], "not yet");
    assert_eq!((&waiting["alive"], &waiting["paused"]), (&json!(true), &json!(false)));

    let foreign = by_name(&state["groups"], "foreign");
    assert_eq!(
        (&foreign["managed"], &foreign["lag"], &foreign["claim_auto"]),
        (&json!(false), &json!(2), &Value::Null)
    );
    assert!(foreign["lag_ms"].is_u64());
    let stranger = &foreign["consumers"][0];
    assert_eq!(
        (&stranger["state"], &stranger["alive"], &stranger["counters"]),
        (&json!("unknown"), &json!(false), &Value::Null)
    );

    let processes = state["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 2);
    let process = processes.iter().find(|it| it["id"] == one.id).unwrap();
    assert_eq!(
        (&process["host"], &process["group"], &process["reachable"]),
        (&json!("one"), &json!("g"), &json!(true))
    );
    assert_eq!((&process["consumers"], &process["claim_auto"]), (&json!(["a", "b"]), &json!(false)));
    assert!(process["started_ms"].is_u64() && process["pid"].is_u64());
}

#[tokio::test]
async fn a_process_that_does_not_answer_is_shown_and_costs_the_others_nothing() {
    let bench = Bench::start(&[]).await;
    let hidden = TestWorker::start(&bench, "g", "one", &["a"]).await;
    let _seen = TestWorker::start(&bench, "g", "two", &["b"]).await;
    hidden.hide();
    let is_hidden = async || bench.consumer("g", "a").await.filter(|it| it["state"] == "unreachable");
    let consumer = eventually(SOON, "the process does not answer", is_hidden).await;
    assert_eq!(
        (&consumer["alive"], &consumer["paused"], &consumer["in_flight"]),
        (&json!(true), &Value::Null, &Value::Null)
    );
    assert!(consumer["counters"]["acked"].is_u64(), "the registry tells of them");
    let state = bench.state().await;
    let process =
        state["processes"].as_array().unwrap().iter().find(|it| it["id"] == hidden.id).unwrap().clone();
    assert_eq!((&process["reachable"], &process["claim_auto"]), (&json!(false), &Value::Null));
    assert!(process["reason"].as_str().unwrap().contains("does not answer"), "{process}");
    assert_eq!(bench.consumer("g", "b").await.unwrap()["state"], "running");

    // Gone for good: its name runs out.
    drop(hidden);
    let is_gone = async || {
        let found = bench.consumer("g", "a").await;
        found.is_none_or(|it| it["state"] == "dead").then_some(())
    };
    eventually(SOON, "the name has run out", is_gone).await;
    assert_eq!(bench.state().await["processes"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn redis_away_is_a_state_and_it_comes_back_by_itself() {
    let mut bench = Bench::start(&[]).await;
    bench.append("o-1", "").await;
    let mut live = bench.client.events("/api/live").await;
    let seen = live.find("state", |state| state["redis"]["available"] == true).await;
    assert_eq!(seen["stream"]["length"], 1);

    bench.server.kill();
    let away = live.find("state", |state| state["redis"]["available"] == false).await;
    assert!(away["redis"]["reason"].is_string());
    assert_eq!(away["stream"], seen["stream"], "what was seen last");
    assert!(away["at_ms"].as_u64() > seen["at_ms"].as_u64());
    let (status, kind) = bench.get("/api/entries").await.problem();
    assert_eq!((status, kind.as_str()), (503, "/problems/redis-unavailable"));
    assert_eq!(bench.get("/state").await.status, 503, "empty values would look like an empty stream");

    bench.server.restart().await;
    let back = live.find("state", |state| state["redis"]["available"] == true).await;
    assert_eq!(back["stream"]["length"], 0);
}

#[tokio::test]
async fn a_console_that_never_saw_redis_says_so() {
    let server = testkit::RedisServer::start().await;
    let port = server.port();
    drop(server);
    let bench = Bench::away(&format!("redis://127.0.0.1:{port}")).await;
    let state = bench.get("/api/state").await.ok();
    assert_eq!((&state["redis"]["available"], &state["stream"]), (&json!(false), &Value::Null));
    assert_eq!((&state["groups"], &state["processes"]), (&json!([]), &json!([])));
}
