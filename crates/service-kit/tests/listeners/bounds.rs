//! Heads that are too large, and clients that are too many.

use std::time::Duration;

use testkit::eventually;

use crate::{
    client::{RawClient, SOON},
    server::Server,
};

/// A head of many headers of 40 bytes each.
fn headers(count: usize) -> String {
    let lines: Vec<_> = (0..count).map(|number| format!("x-{number:03}: {}\r\n", "v".repeat(31))).collect();
    lines.concat()
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_in_plain_words() {
    let server = Server::start(|http| (http.max_header_bytes, http.max_uri_bytes) = (8192, 1024)).await;
    let ask = async |path: &str, headers: &str| {
        let mut client = RawClient::connect(server.addr).await;
        client
            .try_say(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n"))
            .await;
        client.hear_all().await
    };
    let long = |bytes| format!("/who?{}", "q".repeat(bytes));
    assert!(ask(&long(1000), &headers(50)).await.starts_with("HTTP/1.1 200"));
    let answer = ask(&long(1020), "").await;
    assert!(answer.starts_with("HTTP/1.1 414") && answer.contains("/problems/uri-too-long"), "{answer}");
    let answer = ask("/who", &format!("x: {}\r\n", "v".repeat(8200))).await;
    assert!(answer.starts_with("HTTP/1.1 431") && answer.contains("/problems/headers-too-large"), "{answer}");
    // More than both bounds together, and more headers than the parser takes: the answer comes before a router is asked.
    for flood in [headers(100), format!("x: {}\r\n", "v".repeat(100_000))] {
        let answer = ask("/who", &flood).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_over_http2() {
    service_kit::tls::install_provider();
    let server = Server::start(|http| (http.max_header_bytes, http.max_uri_bytes) = (8192, 1024)).await;
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let ask = async |path: &str, name: &str, bytes: usize| {
        let request = client.get(server.url(path)).header(name, "v".repeat(bytes));
        request.send().await.map(|answer| answer.status().as_u16())
    };
    assert_eq!(ask("/who", "x", 4000).await.unwrap(), 200);
    assert_eq!(ask(&format!("/who?{}", "q".repeat(2000)), "x", 1).await.unwrap(), 414);
    assert_eq!(ask("/who", "x", 8200).await.unwrap(), 431);
    // The client knows the server's bound and does not even send it, or the server resets the stream.
    let flood = ask("/who", "x", 100_000).await;
    assert!(flood.is_err() || flood.is_ok_and(|status| status == 431));
    assert_eq!(ask("/who", "x", 1).await.unwrap(), 200, "the connection, or another, goes on");
}

#[tokio::test]
async fn beyond_the_bound_clients_wait_for_their_turn() {
    let server = Server::start(|http| {
        http.max_connections = 2;
        http.idle_timeout = Duration::from_mins(5);
    })
    .await;
    let mut first = RawClient::connect(server.addr).await;
    let mut second = RawClient::connect(server.addr).await;
    assert!(first.get("/who").await.starts_with("HTTP/1.1 200"));
    assert!(second.get("/who").await.starts_with("HTTP/1.1 200"));
    let mut third = RawClient::connect(server.addr).await;
    third.say("GET /who HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(third.hears_nothing(Duration::from_millis(300)).await, "it has no turn yet");
    assert_eq!(server.metric("http_connections", "public"), 2.0);
    assert_eq!(server.metric("http_connections_limit_reached_total", "public"), 1.0);
    drop(first);
    assert!(third.hear().await.starts_with("HTTP/1.1 200"));
    drop((second, third));
    eventually(SOON, "all are gone", async || (server.metric("http_connections", "") == 0.0).then_some(()))
        .await;
}
