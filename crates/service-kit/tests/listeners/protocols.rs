//! HTTP/1.1 and HTTP/2 on one port, and how connections end.

use std::time::Duration;

use testkit::eventually;
use tokio::process::Command;

use crate::{
    client::{RawClient, SOON},
    server::Server,
};

fn h2_client() -> reqwest::Client {
    service_kit::tls::install_provider();
    reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap()
}

#[tokio::test]
async fn both_protocols_are_spoken_and_the_peer_is_known() {
    let server = Server::start(|_| {}).await;
    let answer = RawClient::connect(server.addr).await.get("/who").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("127.0.0.1 over HTTP/1.1"), "{answer}");
    let answer = h2_client().get(server.url("/who")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "127.0.0.1 over HTTP/2.0");
}

#[tokio::test]
async fn curl_speaks_http2_by_prior_knowledge() {
    let server = Server::start(|_| {}).await;
    let curl = Command::new("curl")
        .args([
            "-sS",
            "--noproxy",
            "*",
            "--http2-prior-knowledge",
            "-d",
            "0123456789",
            "-w",
            " %{http_version}",
        ])
        .arg(server.url("/body"))
        .output();
    let output = curl.await.expect("curl is there");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(said, "10 2");
}

#[tokio::test]
async fn many_requests_share_one_http2_connection() {
    let server = Server::start(|http| http.http2_max_streams = 5).await;
    let client = h2_client();
    let requests = (0..50).map(|_| {
        let request = client.get(server.url("/who"));
        tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
    });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(request.await.unwrap(), 200);
    }
    // Before the protocol is known the client may have tried a few connections.
    assert!(server.metric("http_connections_accepted_total", "") < 10.0);
}

#[tokio::test]
async fn idle_connections_end_in_both_protocols_and_busy_ones_do_not() {
    let server = Server::start(|_| {}).await;
    let mut client = RawClient::connect(server.addr).await;
    for _ in 0..4 {
        assert!(client.get("/who").await.starts_with("HTTP/1.1 200"));
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert_eq!(client.hear_all().await, "");
    let client = h2_client();
    assert_eq!(client.get(server.url("/who")).send().await.unwrap().status(), 200);
    eventually(SOON, "no connection is open", async || {
        (server.metric("http_connections", "") == 0.0).then_some(())
    })
    .await;
    assert_eq!(server.cut(""), 0.0, "none of them was cut");
}

#[tokio::test]
async fn an_answer_that_is_long_in_coming_is_waited_for() {
    let server = Server::start(|_| {}).await;
    // It installs the TLS provider that every client of reqwest needs.
    let client = h2_client();
    let plain = reqwest::get(server.url("/silent")).await.unwrap().text().await.unwrap();
    let http2 = client.get(server.url("/silent")).send().await.unwrap().text().await.unwrap();
    assert_eq!((plain.as_str(), http2.as_str()), ("at last", "at last"));
}

#[tokio::test]
async fn shutdown_ends_idle_connections_at_once_and_answers_what_was_asked() {
    let server = Server::start(|http| http.idle_timeout = Duration::from_mins(5)).await;
    let mut idle = RawClient::connect(server.addr).await;
    idle.get("/who").await;
    let client = h2_client();
    let answer = client.get(server.url("/silent")).send().await.unwrap();
    server.stop.cancel();
    assert_eq!(idle.hear_all().await, "");
    assert_eq!(answer.text().await.unwrap(), "at last");
    assert!(server.task.await.unwrap(), "everything has ended within the grace");
    assert!(reqwest::get(format!("http://{}/who", server.addr)).await.is_err(), "nobody listens any more");
}
