//! The server of a test: started, crashed, restarted, cleaned up.

use std::{collections::HashSet, net::TcpStream, path::Path, time::Duration};

use redis::AsyncCommands as _;
use testkit::{RedisServer, StartError, eventually};

async fn config(server: &RedisServer, name: &str) -> String {
    let (_, value): (String, String) = redis::cmd("CONFIG")
        .arg("GET")
        .arg(name)
        .query_async(&mut server.connection().await)
        .await
        .expect("CONFIG GET");
    value
}

#[tokio::test]
async fn a_started_server_answers_and_keeps_nothing_on_disk() {
    let server = RedisServer::start().await;
    let mut connection = server.connection().await;
    let () = connection.set("key", "value").await.unwrap();
    assert_eq!(connection.get::<_, String>("key").await.unwrap(), "value");
    assert_eq!(server.url(), format!("redis://127.0.0.1:{}", server.port()));
    assert_eq!(config(&server, "save").await, "");
    assert_eq!(config(&server, "appendonly").await, "no");
    assert_eq!(config(&server, "bind").await, "127.0.0.1");
    assert_eq!(config(&server, "maxmemory-policy").await, "noeviction");
}

#[tokio::test]
async fn servers_do_not_share_anything() {
    let (first, second) = tokio::join!(RedisServer::start(), RedisServer::start());
    assert_ne!(first.port(), second.port());
    assert_ne!(first.pid(), second.pid());
    let () = first.connection().await.set("key", 1).await.unwrap();
    assert!(!second.connection().await.exists::<_, bool>("key").await.unwrap());
}

#[tokio::test]
async fn an_append_only_server_keeps_every_write_through_a_crash() {
    let mut server = RedisServer::builder().append_only(true).start().await;
    let (port, pid) = (server.port(), server.pid());
    let stream = server.unique_stream("orders");
    let mut connection = server.connection().await;
    for n in 0..50 {
        let _: String = connection.xadd(&stream, "*", &[("n", n)]).await.unwrap();
    }
    server.kill();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "nobody listens after the kill");
    server.kill(); // A second kill is harmless.
    server.restart().await;
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
    assert_eq!(server.connection().await.xlen::<_, usize>(&stream).await.unwrap(), 50);
}

#[tokio::test]
async fn a_restart_without_a_kill_kills_first_and_memory_is_lost() {
    let mut server = RedisServer::start().await;
    let () = server.connection().await.set("key", 1).await.unwrap();
    server.restart().await;
    assert!(!server.connection().await.exists::<_, bool>("key").await.unwrap());
}

#[tokio::test]
async fn memory_is_bounded_and_extra_arguments_win() {
    let server = RedisServer::builder()
        .max_memory_bytes(3_000_000)
        .arg("--maxclients", ["17"])
        .arg("--save", ["3600", "1"])
        .start()
        .await;
    assert_eq!(config(&server, "maxmemory").await, "3000000");
    assert_eq!(config(&server, "maxclients").await, "17");
    assert_eq!(config(&server, "save").await, "3600 1");
    let mut connection = server.connection().await;
    let mut refusal = None;
    for n in 0..100 {
        refusal = connection.set::<_, _, ()>(n, vec![b'x'; 100_000]).await.err();
        if refusal.is_some() {
            assert!(n > 5, "the first writes fit");
            break;
        }
    }
    let error = refusal.expect("10 MB do not fit");
    assert_eq!(error.code(), Some("OOM"), "{error}");
}

#[tokio::test]
async fn a_server_with_a_password_is_ready_when_it_asks_for_it() {
    let server = RedisServer::builder().arg("--requirepass", ["secret"]).start().await;
    let url = format!("redis://:secret@127.0.0.1:{}", server.port());
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    assert_eq!(connection.ping::<String>().await.unwrap(), "PONG");
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_its_log() {
    let error = RedisServer::builder().arg("--no-such-option", ["1"]).try_start().await.unwrap_err();
    assert!(matches!(error, StartError::Ended { .. }), "{error}");
    assert!(error.to_string().contains("Bad directive or wrong number of arguments"), "{error}");
}

#[tokio::test]
async fn dropping_a_server_ends_it_and_removes_its_directory() {
    let server = RedisServer::builder().append_only(true).start().await;
    let (port, pid, dir) = (server.port(), server.pid(), server.dir().to_owned());
    assert!(dir.is_dir());
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(!dir.exists());
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "no zombie is left");
}

#[tokio::test]
async fn stream_names_are_unique() {
    let server = RedisServer::start().await;
    let names: HashSet<String> = (0..1_000).map(|_| server.unique_stream("orders")).collect();
    assert_eq!(names.len(), 1_000);
    assert!(names.iter().all(|name| name.starts_with("orders:")));
}

#[tokio::test]
async fn connections_outlast_blocking_reads() {
    let server = RedisServer::start().await;
    let mut reader = server.connection().await;
    let reading = tokio::spawn(async move {
        redis::cmd("BLPOP").arg("list").arg(25).query_async::<(String, String)>(&mut reader).await
    });
    let mut connection = server.connection().await;
    eventually(Duration::from_secs(10), "the reader blocks", async || {
        let info: String = redis::cmd("INFO").arg("clients").query_async(&mut connection).await.ok()?;
        info.contains("blocked_clients:1").then_some(())
    })
    .await;
    let _: usize = connection.rpush("list", "item").await.unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), ("list".to_owned(), "item".to_owned()));
}
