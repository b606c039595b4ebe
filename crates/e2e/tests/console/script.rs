//! A script that was written for the guide's demo server runs unchanged against `orderflow up --demo`.

use std::{collections::HashMap, time::Duration};

use e2e::Up;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testkit::eventually;

const SOON: Duration = Duration::from_secs(30);

/// The demo server's interface, as such a script uses it: forms in, JSON out.
struct Demo(String);

impl Demo {
    async fn get(&self, path: &str) -> Value {
        let answer = reqwest::get(format!("{}{path}", self.0)).await.expect("the console answers");
        answer.json().await.expect("the answer is JSON")
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let body: Vec<String> = form.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = reqwest::Client::new().post(format!("{}{path}", self.0)).body(body.join("&"));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.send().await.expect("the console answers");
        (answer.status().as_u16(), answer.json().await.expect("the answer is JSON"))
    }

    async fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(SOON, what, async || {
            let state = self.get("/state").await;
            if is(&state) { Ok(state) } else { Err(state.to_string()) }
        })
        .await
    }
}

/// The groups of a state, by name.
fn groups(state: &Value) -> HashMap<&str, &Value> {
    let groups = state["groups"].as_array().expect("groups");
    groups.iter().map(|group| (group["name"].as_str().expect("a name"), group)).collect()
}

#[tokio::test]
async fn a_script_for_the_guides_demo_runs_unchanged() {
    let up = Up::start(&["--demo"]).await;
    let demo = Demo(format!("http://{}", up.address("CONSOLE__LISTEN")));

    let (status, produced) = demo.post("/produce", &[("count", "25"), ("type", "")]).await;
    assert_eq!((status, &produced["produced"]), (200, &json!(25)));
    assert_eq!(produced["ids"].as_array().map(Vec::len), Some(25));
    let state = demo.until("both groups have acked all", |state| state["stats"]["acked_total"] == 50).await;
    assert_eq!((&state["stream"]["length"], &state["stats"]["produced_total"]), (&json!(25), &json!(25)));
    assert_eq!(state["tail"].as_array().map(Vec::len), Some(10));
    let by_name = groups(&state);
    assert_eq!((&by_name["analytics"]["lag"], &by_name["analytics"]["pending"]), (&json!(0), &json!(0)));
    let worker = &by_name["analytics"]["consumers_detail"][0];
    assert_eq!(
        (&worker["name"], &worker["processed"], &worker["alive"]),
        (&json!("worker-c"), &json!(25), &json!(true))
    );

    let add = [("group", "notifications"), ("name", "worker-d")];
    assert_eq!(demo.post("/add-worker", &add).await.0, 200);
    let (status, again) = demo.post("/add-worker", &add).await;
    assert!(
        status == 409 && again["error"].as_str().is_some_and(|it| it.contains("already exists")),
        "{again}"
    );

    let crash = [("group", "analytics"), ("name", "worker-c"), ("count", "3")];
    assert_eq!(demo.post("/crash", &crash).await, (200, json!({"queued": 3})));
    demo.post("/produce", &[("count", "3"), ("type", "order.paid")]).await;
    let stuck = |state: &Value| {
        let pending = state["pending"].as_array().cloned().unwrap_or_default();
        pending.len() == 3
            && pending
                .iter()
                .all(|row| row["deliveries"] == 1 && row["idle_ms"].as_u64().is_some_and(|it| it >= 5_000))
    };
    demo.until("three entries are idle for long enough", stuck).await;
    let (status, claimed) =
        demo.post("/autoclaim", &[("group", "analytics"), ("consumer", "worker-c")]).await;
    let expected = json!({"claimed": 3, "processed": 3, "deleted": [], "min_idle_ms": 5000});
    assert_eq!((status, claimed), (200, expected));
    // A consumer tells its counts once a second.
    let told = |state: &Value| state["pending"] == json!([]) && state["stats"]["claimed_total"] == 3;
    demo.until("nothing is pending, and three were claimed", told).await;

    let replay = demo.get("/replay?start=-&end=%2B&count=5").await;
    assert_eq!((&replay["limit"], replay["entries"].as_array().map(Vec::len)), (&json!(5), Some(5)));
    assert!(replay["entries"][0]["fields"]["order_id"].is_string(), "{replay}");
    assert_eq!(demo.post("/trim", &[("maxlen", "1000")]).await, (200, json!({"deleted": 0, "maxlen": 1000})));

    let (status, removed) = demo.post("/remove-worker", &add).await;
    assert_eq!((status, &removed["removed"]), (200, &json!(true)));
    let (status, refused) =
        demo.post("/remove-worker", &[("group", "analytics"), ("name", "worker-c")]).await;
    assert_eq!((status, &refused["removed"], &refused["reason"]), (409, &json!(false), &json!("no-peer")));

    assert_eq!(demo.post("/reset", &[]).await, (200, json!({"consumers": 3})));
    demo.until("the stream is empty", |state| state["stream"]["length"] == 0).await;
    assert_eq!(up.stop(Signal::SIGINT).await.code(), Some(0));
}
