//! The guide's whole story through its own routes, and the API's, with the real services behind the console.

use serde_json::{Value, json};
use testkit::{eventually, free_port};

use crate::bench::{Bench, SOON, Service, sibling};

/// The services of a demo.
struct Pipeline {
    bench: Bench,
    _services: Vec<Service>,
}

impl Pipeline {
    async fn start() -> Self {
        let producer = format!("127.0.0.1:{}", free_port());
        let analytics = format!("127.0.0.1:{}", free_port());
        let (producer_url, analytics_url) = (format!("http://{producer}"), format!("http://{analytics}/"));
        let bench = Bench::start(&[
            ("CONSOLE__DEMO", "true"),
            ("CONSOLE__PRODUCER_URL", &producer_url),
            ("CONSOLE__ANALYTICS_URL", &analytics_url),
            ("PRODUCER__LISTEN", &producer),
            ("ANALYTICS__LISTEN", &analytics),
            ("ADMIN__FAULT_INJECTION", "true"),
            ("WORKER__CLAIM_AUTO", "false"),
            ("WORKER__BLOCK", "100ms"),
        ])
        .await;
        let notifications = bench.settings(&[("WORKER__NAMES", "worker-a,worker-b")]);
        let analytics = bench.settings(&[("WORKER__NAMES", "worker-c")]);
        let services = vec![
            Service::start(&sibling("producer-api"), "PRODUCER", &bench.settings(&[])),
            Service::start(&sibling("notifications-worker"), "NOTIFICATIONS", &notifications),
            Service::start(&sibling("analytics-worker"), "ANALYTICS", &analytics),
        ];
        for service in &services {
            service.ready().await;
        }
        Self { bench, _services: services }
    }

    /// The demo's state, once it fits.
    async fn state(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let probe = async || {
            let state = self.bench.get("/state").await.ok();
            if fits(&state) { Ok(state) } else { Err(state.to_string()) }
        };
        eventually(SOON, what, probe).await
    }
}

fn group<'a>(state: &'a Value, name: &str) -> &'a Value {
    state["groups"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap()
}

#[tokio::test]
async fn the_guides_story_runs_through_its_own_routes() {
    let pipeline = Pipeline::start().await;
    let bench = &pipeline.bench;
    let produced = bench.client.form("/produce", "count=25&type=").await.ok();
    assert_eq!((&produced["produced"], produced["ids"].as_array().unwrap().len()), (&json!(25), 25));
    let state = pipeline
        .state("both groups have drained", |state| {
            state["stats"]["acked_total"] == 50 && state["pending"] == json!([])
        })
        .await;
    assert_eq!((&state["stats"]["produced_total"], &state["stream"]["length"]), (&json!(25), &json!(25)));
    for name in ["notifications", "analytics"] {
        assert_eq!((&group(&state, name)["lag"], &group(&state, name)["pending"]), (&json!(0), &json!(0)));
    }
    assert_eq!(bench.client.form("/produce", "count=0&type=order.paid").await.ok()["produced"], 1, "clamped");

    bench.client.form("/add-worker", "group=analytics&name=worker-d").await.ok();
    bench.post("/api/groups/analytics/consumers/worker-d/pause", json!({})).await;
    assert_eq!(
        bench.client.form("/crash", "group=analytics&name=worker-c&count=3").await.ok(),
        json!({ "queued": 3 })
    );
    bench.client.form("/produce", "count=3&type=order.paid").await.ok();
    let state =
        pipeline.state("three are pending", |state| state["pending"].as_array().unwrap().len() == 3).await;
    assert!(
        state["pending"]
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row["consumer"] == "worker-c" && row["deliveries"] == 1)
    );
    bench.idle("analytics", 3).await;
    let claimed = bench.client.form("/autoclaim", "group=analytics&consumer=worker-d").await.ok();
    assert_eq!(claimed["claimed"], 3);
    assert_eq!((&claimed["processed"], &claimed["deleted"]), (&json!(3), &json!([])));
    pipeline.state("nothing is pending", |state| state["pending"] == json!([])).await;

    assert_eq!(bench.get("/replay?count=500").await.ok()["entries"].as_array().unwrap().len(), 29);
    // What analytics knows of it all, and of one order.
    let paid = bench.post("/api/produce", json!({ "count": 2, "type": "order.paid" })).await.ok();
    let counted = async || {
        let summary = bench.get("/api/analytics/summary").await.ok();
        (summary["events"] == 31).then_some(summary)
    };
    let summary = eventually(SOON, "all were counted once", counted).await;
    assert!(summary["revenue"].is_string(), "{summary}");
    assert!(bench.get("/api/analytics/customers/top?n=2").await.ok().is_array());
    assert!(bench.get("/api/analytics/timeseries?metric=events").await.ok()["points"].is_array());
    let wrong = bench.get("/api/analytics/summary?windo=1h").await;
    assert_eq!(wrong.problem(), (400, "/problems/invalid-query".to_owned()), "passed on as it came");
    let id = paid["ids"][0].as_str().unwrap();
    let entry = bench.get(&format!("/api/entries/{id}")).await.ok();
    let order_id =
        entry["fields"].as_array().unwrap().iter().find(|pair| pair[0] == "order_id").unwrap()[1].clone();
    let order = bench.get(&format!("/api/orders/{}", order_id.as_str().unwrap())).await.ok();
    assert_eq!((&order["order"]["order_id"], &order["problem"]), (&order_id, &Value::Null));
    assert!(order["entries"].as_array().unwrap().iter().any(|it| it["id"] == id));
    let unknown = bench.get("/api/orders/no%2Fsuch%20order").await.ok();
    assert_eq!(
        (&unknown["order"], &unknown["problem"]["type"]),
        (&Value::Null, &json!("/problems/unknown-order"))
    );
    assert_eq!((&unknown["entries"], &unknown["complete"]), (&json!([]), &json!(true)));

    // The producer's own refusals come through.
    let refused = bench.post("/api/produce", json!({ "count": 1, "type": "no such type" })).await;
    assert_eq!(refused.problem(), (422, "/problems/invalid-event".to_owned()));
    assert_eq!(bench.client.form("/produce", "type=nothing").await.status, 400);
    for count in [0, 501] {
        assert_eq!(bench.post("/api/produce", json!({ "count": count, "type": null })).await.status, 422);
    }

    // And everything begins anew, the figures too.
    assert_eq!(bench.client.form("/reset", "").await.ok(), json!({ "consumers": 3 }));
    let state = bench.get("/state").await.ok();
    assert_eq!(state["stats"], json!({ "produced_total": 0, "acked_total": 0, "claimed_total": 0 }));
    assert_eq!(bench.get("/api/analytics/summary").await.ok()["events"], 0);
    bench.client.form("/produce", "count=10").await.ok();
    let state = pipeline.state("they are handled", |state| state["stats"]["acked_total"] == 20).await;
    let details = group(&state, "analytics")["consumers_detail"].as_array().unwrap();
    assert_eq!(
        (details.len(), &details[0]["name"], &details[0]["processed"]),
        (1, &json!("worker-c"), &json!(10))
    );
    let counted = async || (bench.get("/api/analytics/summary").await.ok()["events"] == 10).then_some(());
    eventually(SOON, "the new ones are counted", counted).await;
}
