//! API keys: figures are for keys that may read, levers for those that may administer.

use std::fs::read_to_string;

use serde_json::Value;
use service_kit::auth::Digest;

use crate::worker::Worker;

const READ: &str = "ofk_reports_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
const ADMIN: &str = "ofk_ops_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
const TOKEN: &str = "admin-token-0123456789";

fn keys() -> String {
    let entry = |id: &str, key: &str, scope: &str, more: &str| {
        let sha256 = Digest::of(key.as_bytes()).to_hex();
        format!("{{id=\"{id}\",sha256=\"{sha256}\",scopes=[\"{scope}\"]{more}}}")
    };
    let limited = ",rate_per_second=0.01,burst=3";
    format!("[{},{}]", entry("reports", READ, "read", limited), entry("ops", ADMIN, "admin", ""))
}

async fn ask(url: &str, key: Option<&str>) -> (u16, Value) {
    let mut request = reqwest::Client::new().get(url);
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
}

#[tokio::test]
async fn figures_and_levers_have_scopes_of_their_own() {
    let worker = Worker::with(&[("AUTH__KEYS", &keys()), ("ADMIN__TOKEN", TOKEN)]).await;
    let summary = format!("http://127.0.0.1:{}/v1/analytics/summary", worker.port);
    let levers = format!("http://127.0.0.1:{}/admin/worker", worker.ops_port);
    let metrics = format!("http://127.0.0.1:{}/metrics", worker.ops_port);
    let kind = |(status, body): (u16, Value)| (status, body["type"].as_str().unwrap_or_default().to_owned());
    let unauthorized = (401, "/problems/unauthorized".to_owned());
    let scope = (403, "/problems/insufficient-scope".to_owned());

    assert_eq!(ask(&summary, Some(READ)).await.0, 200);
    assert_eq!(kind(ask(&summary, None).await), unauthorized);
    assert_eq!(kind(ask(&summary, Some("wrong")).await), unauthorized);
    assert_eq!(kind(ask(&summary, Some(ADMIN)).await), scope);
    assert_eq!(kind(ask(&summary, Some(TOKEN)).await), unauthorized, "the token is for levers alone");

    assert_eq!(ask(&levers, Some(ADMIN)).await.0, 200);
    assert_eq!(ask(&levers, Some(TOKEN)).await.0, 200, "the token goes on working");
    assert_eq!(kind(ask(&levers, Some(READ)).await), scope);
    assert_eq!(kind(ask(&levers, None).await), unauthorized);
    let (status, body) = ask(&levers, Some("wrong")).await;
    assert!(status == 401 && body["detail"].as_str().expect("text").contains("scope admin"), "{body}");

    // Two are left of three.
    for status in [200, 200, 429] {
        assert_eq!(ask(&summary, Some(READ)).await.0, status);
    }
    let metrics = reqwest::get(metrics).await.expect("metrics").text().await.expect("text");
    assert!(metrics.contains("auth_rate_limited_total{key=\"reports\"} 1"), "{metrics}");
    let all = metrics + &read_to_string(worker.log.path()).expect("a log");
    for secret in [READ, ADMIN, TOKEN] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[tokio::test]
async fn a_key_opens_the_levers_where_there_is_no_token() {
    let worker = Worker::with(&[("AUTH__KEYS", &keys())]).await;
    let levers = format!("http://127.0.0.1:{}/admin/worker", worker.ops_port);
    assert_eq!(ask(&levers, Some(ADMIN)).await.0, 200);
    assert_eq!(ask(&levers, Some(READ)).await.0, 403);
    assert_eq!(ask(&levers, None).await.0, 401);
}

#[tokio::test]
async fn without_keys_nothing_opens_the_levers_but_the_token() {
    let worker = Worker::with(&[("AUTH__KEYS", &keys()), ("AUTH__MODE", "off")]).await;
    let levers = format!("http://127.0.0.1:{}/admin/worker", worker.ops_port);
    assert_eq!(
        ask(&levers, Some(ADMIN)).await.0,
        403,
        "auth.mode=off opens nothing that is closed without keys"
    );
    let summary = format!("http://127.0.0.1:{}/v1/analytics/summary", worker.port);
    assert_eq!(ask(&summary, None).await.0, 200);
}
