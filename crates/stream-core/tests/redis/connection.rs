//! Connections: classified errors, and recovery without a restart.

use std::time::Duration;

use stream_core::{ConnectSettings, Connector, ErrorKind};
use testkit::{RedisServer, eventually};

use crate::support::{Bench, SOON};

#[tokio::test]
async fn a_wrong_password_is_told_and_the_right_one_works_later() {
    let server = RedisServer::builder().arg("--requirepass", ["old"]).start().await;
    let url = format!("redis://:new@127.0.0.1:{}", server.port());
    let connector = Connector::new(ConnectSettings { url, ..ConnectSettings::default() }).unwrap();
    let connection = connector.commands().unwrap();
    assert_eq!(connection.ping().await.unwrap_err().kind(), ErrorKind::Auth);
    assert!(!format!("{connector:?} {connection:?}").contains("new"));
    let mut admin = redis::Client::open(format!("redis://:old@127.0.0.1:{}", server.port()))
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    let set: () =
        redis::cmd("CONFIG").arg(&["SET", "requirepass", "new"]).query_async(&mut admin).await.unwrap();
    let () = set;
    eventually(SOON, "the same connection works", async || connection.ping().await).await;
}

#[tokio::test]
async fn a_rotated_password_is_read_from_its_file() {
    let server = RedisServer::builder().arg("--requirepass", ["old"]).start().await;
    let url = |password: &str| format!("redis://:{password}@127.0.0.1:{}", server.port());
    let file = server.dir().join("redis-url");
    std::fs::write(&file, url("old")).unwrap();
    let settings =
        ConnectSettings { url: url("old"), url_file: Some(file.clone()), ..ConnectSettings::default() };
    let connector = Connector::new(settings).unwrap();
    let connection = connector.commands().unwrap();
    connection.ping().await.unwrap();
    let mut admin =
        redis::Client::open(url("old")).unwrap().get_multiplexed_async_connection().await.unwrap();
    for words in
        [&["CONFIG", "SET", "requirepass", "new"][..], &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]]
    {
        let mut cmd = redis::Cmd::new();
        cmd.arg(words);
        cmd.query_async::<redis::Value>(&mut admin).await.unwrap();
    }
    eventually(SOON, "the old password is refused", async || {
        let kind = connection.ping().await.err().map(|error| error.kind());
        (kind == Some(ErrorKind::Auth)).then_some(()).ok_or(format!("{kind:?}"))
    })
    .await;
    // Half-written, then gone, then right, as a mounted secret may be.
    std::fs::write(&file, "redis://:ne").unwrap();
    assert!(connection.ping().await.is_err());
    std::fs::remove_file(&file).unwrap();
    assert!(connection.ping().await.is_err());
    std::fs::write(&file, url("new") + "\n").unwrap();
    eventually(SOON, "the new password is used", async || connection.ping().await).await;
    connector.commands().unwrap().ping().await.unwrap();
    assert!(connector.errors().with_label_values(&["auth"]).get() >= 3);
    assert!(!format!("{connector:?} {connection:?}").contains("new"));
}

#[tokio::test]
async fn a_connection_survives_a_restart_of_the_server() {
    let mut bench = Bench::start().await;
    let connection = bench.stream.connection().clone();
    connection.ping().await.unwrap();
    bench.server.kill();
    assert_eq!(connection.ping().await.unwrap_err().kind(), ErrorKind::Connection);
    bench.server.restart().await;
    eventually(SOON, "it answers again", async || connection.ping().await).await;
}

#[tokio::test]
async fn a_server_that_hangs_is_a_timeout_and_then_gone_from() {
    let bench = Bench::start().await;
    let settings = ConnectSettings {
        url: bench.server.url(),
        response_timeout: Duration::from_millis(200),
        ..ConnectSettings::default()
    };
    let connection = Connector::new(settings).unwrap().commands().unwrap();
    connection.ping().await.unwrap();
    bench.cmd::<()>("CLIENT PAUSE 1500 ALL").await;
    let error = connection.ping().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.may_have_been_applied());
    eventually(SOON, "it answers again", async || connection.ping().await).await;
}

#[tokio::test]
async fn a_full_server_says_so() {
    let server = RedisServer::builder().max_memory_bytes(3_000_000).start().await;
    let bench = Bench::on(server).await;
    let value = "x".repeat(100_000);
    let error = loop {
        if let Err(error) = bench.stream.append([("v", &value)]).await {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    assert!(!error.may_have_been_applied());
}

#[tokio::test]
async fn no_room_for_another_connection_is_told_and_passes() {
    let bench = Bench::start().await;
    bench.cmd::<()>("CONFIG SET maxclients 1").await;
    let connection = bench.connector.commands().unwrap();
    assert_eq!(connection.ping().await.unwrap_err().kind(), ErrorKind::MaxClients);
    assert_eq!(bench.connector.errors().with_label_values(&["max_clients"]).get(), 1);
    bench.cmd::<()>("CONFIG SET maxclients 100").await;
    eventually(SOON, "it answers", async || connection.ping().await).await;
}
