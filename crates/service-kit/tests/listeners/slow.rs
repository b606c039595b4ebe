//! Clients that drip, fall silent, or do not read.

use std::time::{Duration, Instant};

use testkit::eventually;
use tokio::time::sleep;

use crate::{
    client::{RawClient, SOON},
    server::Server,
};

#[tokio::test]
async fn a_head_that_drips_is_cut_at_the_bound_and_nobody_else_notices() {
    let server = Server::start(|_| {}).await;
    let begun = Instant::now();
    let mut slow = RawClient::connect(server.addr).await;
    slow.say("GET /who HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
    let mut others = 0;
    while slow.try_say("y").await {
        assert!(begun.elapsed() < SOON, "it is let go on for ever");
        let answer = RawClient::connect(server.addr).await.get("/who").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        others += 1;
        sleep(Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(600), "it is cut before its time");
    assert!(others > 0);
    assert_eq!(server.cut("slow_head"), 1.0);
}

#[tokio::test]
async fn whoever_says_nothing_at_all_is_cut() {
    let server = Server::start(|http| http.idle_timeout = Duration::from_mins(5)).await;
    let mut silent = RawClient::connect(server.addr).await;
    // The beginning of HTTP/2, and no more.
    let mut half = RawClient::connect(server.addr).await;
    half.say("PRI * HTTP/2.0\r\n").await;
    assert_eq!((silent.hear_all().await, half.hear_all().await), (String::new(), String::new()));
    assert_eq!(server.cut("slow_head"), 2.0);
}

#[tokio::test]
async fn the_head_of_a_second_request_is_bounded_as_well() {
    let server = Server::start(|http| http.idle_timeout = Duration::from_mins(5)).await;
    let mut client = RawClient::connect(server.addr).await;
    client.get("/who").await;
    // Longer than a head may take: the connection is idle, and that may last.
    assert!(client.hears_nothing(Duration::from_millis(1200)).await);
    client.say("GET /who HT").await;
    assert_eq!(client.hear_all().await, "");
    assert_eq!(server.cut("slow_head"), 1.0);
}

#[tokio::test]
async fn a_body_may_be_slow_but_not_silent() {
    let server = Server::start(|http| http.body_timeout = Duration::from_secs(1)).await;
    let mut client = RawClient::connect(server.addr).await;
    client.say("POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 20\r\n\r\n").await;
    let begun = Instant::now();
    for _ in 0..10 {
        sleep(Duration::from_millis(150)).await;
        client.say("xy").await;
    }
    assert!(begun.elapsed() > Duration::from_secs(1), "longer than a silence may be");
    let answer = client.hear().await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("20"), "{answer}");

    client.say("POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 20\r\n\r\nxy").await;
    let answer = client.hear_all().await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(server.cut("slow_body"), 1.0);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let server = Server::start(|_| {}).await;
    let mut client = RawClient::connect(server.addr).await;
    client.say("GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
    cut_as_slow_reader(&server).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_a_stream_of_http2_is_cut() {
    service_kit::tls::install_provider();
    let server = Server::start(|_| {}).await;
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let _unread = client.get(server.url("/endless")).send().await.unwrap();
    cut_as_slow_reader(&server).await;
}

async fn cut_as_slow_reader(server: &Server) {
    eventually(SOON, "it is cut", async || (server.cut("slow_reader") == 1.0).then_some(())).await;
    eventually(SOON, "the connection is gone", async || {
        (server.metric("http_connections", "") == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_not_cut() {
    service_kit::tls::install_provider();
    let server = Server::start(|http| http.write_timeout = Duration::from_secs(1)).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut answer = client.get(server.url("/endless")).send().await.unwrap();
    let begun = Instant::now();
    let mut read = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        // More than the socket's buffers hold, so that there is room again and again.
        let until = read + (8 << 20);
        while read < until {
            read += answer.chunk().await.unwrap().expect("it has no end").len();
        }
        sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(server.cut("slow_reader"), 0.0);
}
