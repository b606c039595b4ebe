//! What the logs tell of requests and entries, and how what is logged is changed.

use std::process::Command;

use e2e::{Pipeline, Role, binary};
use serde_json::{Value, json};
use testkit::eventually;

use crate::{
    collector::SOON,
    stream::{TRACE, lines, order, traceparent},
};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn every_request_has_an_id_in_its_answer_its_problem_and_its_lines() {
    let mut pipeline = Pipeline::new().await;
    pipeline.set("ORDERFLOW__LOG__FORMAT", "json");
    pipeline.set("ORDERFLOW__LOG__FILTER", "info,service_kit=debug");
    let [producer, _analytics, _console] =
        pipeline.start_all([Role::Producer, Role::Analytics, Role::Console]).await;

    let named = [("x-request-id", "order-42/retry"), ("traceparent", &*traceparent(TRACE, "01"))];
    let answer = pipeline.post_with(&named, "{".to_owned()).await;
    assert_eq!(answer.headers()["x-request-id"], "order-42/retry");
    let problem: Value = answer.json().await.expect("a problem");
    assert_eq!(problem["request_id"], "order-42/retry");

    let made = pipeline.post_with(&[("x-request-id", "two words")], order("o-1").to_string()).await;
    let made = made.headers()["x-request-id"].to_str().expect("text").to_owned();
    assert_eq!(made.len(), 32, "one that cannot be logged is replaced: {made}");

    eventually(SOON, "both requests are in the log", async || {
        let lines = lines(&producer.log());
        let of = |id: &str| {
            lines.iter().find(|line| line["request_id"] == id && line["message"] == "answered").cloned()
        };
        match (of("order-42/retry"), of(&made)) {
            (Some(first), Some(second))
                if first["trace_id"] == TRACE && first["status"] == 400 && second["status"] == 201 =>
            {
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    for (role, path) in [(Role::Analytics, "/v1/analytics/nothing"), (Role::Console, "/api/nothing")] {
        let answer = reqwest::get(pipeline.url(role, path)).await.expect("it answers");
        let id = answer.headers()["x-request-id"].to_str().expect("text").to_owned();
        let problem: Value = answer.json().await.expect("a problem");
        assert_eq!(problem["request_id"], id, "{role:?}");
    }
}

#[tokio::test]
async fn the_filter_of_every_service_is_changed_while_it_runs() {
    let mut pipeline = Pipeline::new().await;
    pipeline.set("ORDERFLOW__LOG__FORMAT", "json");
    pipeline.set("ORDERFLOW__ADMIN__TOKEN", TOKEN);
    let roles = [Role::Producer, Role::Notifications, Role::Analytics, Role::Reaper, Role::Console];
    let services = pipeline.start_all(roles).await;
    let client = reqwest::Client::new();
    for service in &services {
        let url = service.ops_url("/admin/log");
        assert_eq!(
            reqwest::get(&url).await.expect("it answers").status().as_u16(),
            401,
            "{}",
            service.name()
        );
        let put = async |body: Value| {
            let answer = client.put(&url).bearer_auth(TOKEN).json(&body).send().await.expect("it answers");
            (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
        };
        let (status, problem) = put(json!({"filter": "inof"})).await;
        assert_eq!((status, &problem["type"]), (422, &json!("/problems/invalid-filter")));
        assert!(
            problem["detail"].as_str().is_some_and(|text| text.contains("\"inof\" is neither")),
            "{problem}"
        );
        assert_eq!(put(json!({"filter": "info", "for": "2d"})).await.0, 422);
        let (status, set) = put(json!({"filter": "info,service_kit=debug", "for": "1h"})).await;
        assert_eq!((status, &set["filter"]), (200, &json!("info,service_kit=debug")));
        assert!(
            set["reverts_in_seconds"].as_u64().is_some_and(|seconds| (3_500..=3_600).contains(&seconds)),
            "{set}"
        );
    }

    pipeline.post_with(&[("x-request-id", "seen")], order("o-1").to_string()).await;
    let is_logged = |id: &str| lines(&services[0].log()).iter().any(|line| line["request_id"] == id);
    eventually(SOON, "the request is logged", async || is_logged("seen").then_some(()).ok_or("it is not"))
        .await;

    let address = services[0].ops_url("").replace("http://", "");
    let log = |args: &[&str]| {
        let output = Command::new(binary("orderflow"))
            .args([&["log"], args, &["--address", &address]].concat())
            .env("ORDERFLOW__ADMIN__TOKEN", TOKEN)
            .output()
            .expect("orderflow runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let (shown, text) = log(&["show"]);
    assert!(shown && text.starts_with("info,service_kit=debug (for another "), "{text}");
    assert_eq!(log(&["set", "warn"]), (true, "warn (configured: info)".to_owned()));
    assert!(!log(&["set", "wran"]).0);
    assert_eq!(log(&["reset"]), (true, "info".to_owned()));
    pipeline.post_with(&[("x-request-id", "unseen")], order("o-2").to_string()).await;
    assert!(!is_logged("unseen"), "no line for each request by default");
}
