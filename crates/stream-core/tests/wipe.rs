//! Wiping a stream: nothing of it stays, nothing of others goes.

use stream_core::{ConnectSettings, Connector, EventStream, StreamKey};
use testkit::RedisServer;

#[tokio::test]
async fn only_the_stream_and_what_is_derived_from_it_goes() {
    let server = RedisServer::start().await;
    let connector =
        Connector::new(ConnectSettings { url: server.url(), ..ConnectSettings::default() }).unwrap();
    let mut connection = server.connection().await;
    for name in ["demo:*", "demo:{t}"] {
        let key = StreamKey::new(name).unwrap();
        let gone = [
            name.to_owned(),
            key.dead_letters("g"),
            key.workers(),
            key.with_suffix("workers:totals"),
            key.with_suffix("analytics:x"),
        ];
        let kept = [
            "demo:orders",
            "{demo:orders}:workers",
            "demo:{t}:archive",
            "demo:{t}:workers_events",
            "demo:{t}2",
        ];
        for name in gone.iter().map(String::as_str).chain(kept) {
            let () = redis::cmd("SET").arg(name).arg(1).query_async(&mut connection).await.unwrap();
        }
        EventStream::new(connector.commands().unwrap(), key).wipe().await.unwrap();
        let exist = async |names: &[&str]| -> usize {
            let mut connection = connection.clone();
            redis::cmd("EXISTS").arg(names).query_async(&mut connection).await.unwrap()
        };
        assert_eq!(exist(&gone.iter().map(String::as_str).collect::<Vec<_>>()).await, 0, "{name}");
        assert_eq!(exist(&kept).await, kept.len(), "{name}");
    }
}
