//! The network of a test: passing, slow, silent, cut, reset.

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use testkit::{Network, TcpProxy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

const SOON: Duration = Duration::from_secs(10);
/// Long enough for a byte to cross the loopback interface many times over.
const NOTHING_FOR: Duration = Duration::from_millis(200);

/// A server that sends back what it gets.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let port = listener.local_addr().expect("a listener has an address").port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a client comes");
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await.ok();
            });
        }
    });
    port
}

async fn connect(proxy: &TcpProxy) -> TcpStream {
    TcpStream::connect(("127.0.0.1", proxy.port())).await.expect("the proxy listens")
}

async fn round_trip(stream: &mut TcpStream, byte: u8) -> std::io::Result<u8> {
    stream.write_u8(byte).await?;
    timeout(SOON, stream.read_u8()).await.expect("an answer or an end comes soon")
}

#[tokio::test]
async fn bytes_pass_at_once_or_later() {
    let proxy = TcpProxy::to(echo().await).await;
    let mut stream = connect(&proxy).await;
    assert_eq!(round_trip(&mut stream, 1).await.unwrap(), 1);
    proxy.set(Network::Slow(Duration::from_millis(100)));
    let sent = Instant::now();
    assert_eq!(round_trip(&mut stream, 2).await.unwrap(), 2);
    assert!(sent.elapsed() >= Duration::from_millis(200), "there and back: {:?}", sent.elapsed());
}

#[tokio::test]
async fn half_open_keeps_sockets_and_forwards_nothing_until_it_heals() {
    let proxy = TcpProxy::to(echo().await).await;
    let mut old = connect(&proxy).await;
    assert_eq!(round_trip(&mut old, 1).await.unwrap(), 1);
    proxy.set(Network::HalfOpen);
    let mut new = connect(&proxy).await;
    for stream in [&mut old, &mut new] {
        stream.write_u8(2).await.unwrap();
        assert!(timeout(NOTHING_FOR, stream.read_u8()).await.is_err(), "neither an answer nor an end");
    }
    proxy.set(Network::Pass);
    for stream in [&mut old, &mut new] {
        assert_eq!(timeout(SOON, stream.read_u8()).await.unwrap().unwrap(), 2);
    }
}

#[tokio::test]
async fn a_cut_ends_connections_and_refuses_new_ones() {
    let proxy = TcpProxy::to(echo().await).await;
    let mut old = connect(&proxy).await;
    assert_eq!(round_trip(&mut old, 1).await.unwrap(), 1);
    proxy.set(Network::Cut);
    let error = timeout(SOON, old.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    let mut refused = connect(&proxy).await;
    assert!(round_trip(&mut refused, 2).await.is_err());
    proxy.set(Network::Pass);
    assert_eq!(round_trip(&mut connect(&proxy).await, 3).await.unwrap(), 3);
}

#[tokio::test]
async fn a_reset_is_seen_as_one_however_short() {
    let proxy = TcpProxy::to(echo().await).await;
    let mut stream = connect(&proxy).await;
    assert_eq!(round_trip(&mut stream, 1).await.unwrap(), 1);
    proxy.set(Network::Reset);
    let error = timeout(SOON, stream.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    proxy.set(Network::Pass);
    let mut stream = connect(&proxy).await;
    assert_eq!(round_trip(&mut stream, 1).await.unwrap(), 1);
    proxy.set(Network::Cut);
    proxy.set(Network::Pass);
    assert!(timeout(SOON, stream.read_u8()).await.unwrap().is_err(), "no connection survives a cut");
}
