//! The page's files, what every answer tells the browser, bodies, paths that there are not, metrics, the end.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::Method;
use serde_json::json;
use testkit::eventually;

use crate::{
    bench::{Bench, SOON},
    http::read,
};

#[tokio::test]
async fn the_page_comes_from_here_alone_and_is_not_sent_twice() {
    let bench = Bench::start(&[]).await;
    let page = bench.get("/").await;
    assert_eq!(
        (page.status, &page.headers["content-type"]),
        (200, &"text/html; charset=utf-8".parse().unwrap())
    );
    assert!(page.text.starts_with("<!doctype html>"), "{}", page.text);
    for path in ["/", "/assets/app.js", "/api/session", "/api/nothing", "/openapi.json"] {
        let answer = bench.get(path).await;
        let csp = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(csp.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{csp}");
        assert!(csp.ends_with("form-action 'self'; frame-ancestors 'none'"), "{csp}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["referrer-policy"], "no-referrer");
    }
    let script = bench.get("/assets/app.js").await;
    assert_eq!(script.headers["content-type"], "text/javascript; charset=utf-8");
    assert_eq!(script.headers["cache-control"], "no-cache");
    let again = bench.client.request(Method::GET, "/assets/app.js");
    let again = read(again.header("if-none-match", script.headers["etag"].clone())).await;
    assert_eq!((again.status, again.text.len()), (304, 0));
    assert_eq!(bench.get("/api/session").await.headers["cache-control"], "no-store");
    for path in
        ["/assets/nothing.js", "/assets/../Cargo.toml", "/assets/%2e%2e/Cargo.toml", "/index.html", "/x"]
    {
        assert_eq!(bench.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_or_cannot_be_read_is_a_problem() {
    let bench = Bench::start(&[]).await;
    assert_eq!(bench.get("/api/nothing").await.problem(), (404, "/problems/not-found".to_owned()));
    let put = bench.client.send(Method::PUT, "/api/state", None).await;
    assert_eq!(put.problem(), (405, "/problems/method-not-allowed".to_owned()));
    let wrong = bench.post("/api/trim", json!({ "maxlen": "many" })).await;
    assert_eq!(wrong.problem(), (422, "/problems/invalid-body".to_owned()));
    let unknown = bench.post("/api/trim", json!({ "maxlen": 1, "maxlne": 2 })).await;
    assert_eq!(unknown.problem(), (422, "/problems/invalid-body".to_owned()));
    let text = bench.client.request(Method::POST, "/api/trim").body("{}");
    assert_eq!(read(text).await.problem(), (415, "/problems/unsupported-media-type".to_owned()));
    let large = bench.client.request(Method::POST, "/api/trim").header("content-type", "application/json");
    let large = read(large.body(" ".repeat(100 * 1024))).await;
    assert_eq!(large.problem(), (413, "/problems/body-too-large".to_owned()));
    for path in ["/api/groups/%ff/pending", "/api/orders/%ff", "/assets/%ff"] {
        assert_eq!(bench.get(path).await.problem(), (400, "/problems/invalid-query".to_owned()), "{path}");
    }
    let query = bench.get("/api/entries?cuont=5").await;
    assert_eq!(query.problem(), (400, "/problems/invalid-query".to_owned()));
}

#[tokio::test]
async fn requests_are_counted_by_route_and_listeners_end_with_the_service() {
    let mut bench = Bench::start(&[("CONSOLE__SUBSCRIBERS_MAX", "1")]).await;
    bench.state().await;
    bench.get("/api/entries/5-1").await;
    bench.get("/nothing").await;
    let mut live = bench.client.events("/api/live").await;
    live.find("state", |_| true).await;
    assert_eq!(bench.get("/api/live").await.problem(), (503, "/problems/too-many-subscribers".to_owned()));

    let ops = bench.console.ops.clone();
    let metrics = reqwest::get(format!("http://{ops}/metrics")).await.unwrap().text().await.unwrap();
    for line in [
        "console_requests_total{route=\"GET /api/entries/{id}\",status=\"2xx\"} 1",
        "console_requests_total{route=\"GET /api/live\",status=\"5xx\"} 1",
        "console_requests_total{route=\"POST /api/groups/{group}/consumers\",status=\"2xx\"} 0",
        "console_requests_total{route=\"other\",status=\"4xx\"} 1",
        "console_subscribers{feed=\"live\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} not in {metrics}");
    }
    assert!(!metrics.contains("5-1"), "no entry is a label");

    kill(Pid::from_raw(bench.console.pid() as i32), Signal::SIGTERM).unwrap();
    let ended = async { while live.next().await.is_some() {} };
    tokio::time::timeout(SOON, ended).await.expect("a listener is told the end");
    let status = eventually(SOON, "the console ends", async || bench.console.ended()).await;
    assert!(status.success(), "{status}");
}
