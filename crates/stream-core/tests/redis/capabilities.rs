//! The capability probe: exactly what each server can do, told apart from what could not be tried.

use std::time::Duration;

use stream_core::{Availability, Capabilities, Capability, ConnectSettings, Connector, EventStream};
use testkit::{RedisServer, eventually};

use crate::support::{Bench, SOON};

async fn no_probe_keys(bench: &Bench) {
    let keys: Vec<String> = bench.cmd("KEYS *probe*").await;
    assert_eq!(keys, Vec::<String>::new(), "throw-away keys are thrown away");
}

fn labels(capabilities: &Capabilities, state: &Availability) -> Vec<&'static str> {
    let matching = capabilities.iter().filter(|(_, found)| *found == state);
    matching.map(|(capability, _)| capability.label()).collect()
}

/// What the server that the tests run on can do: Redis 7.0, 8.6 and Valkey 9.1 are known exactly.
async fn expected(bench: &Bench) -> Option<Vec<&'static str>> {
    let info: String = bench.cmd("INFO server").await;
    let says = |start: &str| info.lines().any(|line| line.starts_with(start));
    if says("valkey_version:9.1.") {
        Some(vec!["wait_aof", "consumer_inactive"])
    } else if says("redis_version:7.0.") {
        Some(vec![])
    } else if says("redis_version:8.6.") {
        let all = Capability::ALL.iter().filter(|capability| **capability != Capability::Nack);
        Some(all.map(|capability| capability.label()).collect())
    } else {
        None
    }
}

#[tokio::test]
async fn each_server_shows_exactly_what_it_can_do() {
    let bench = Bench::with_group().await;
    let ids = bench.append(3).await;
    let capabilities = Capabilities::probe(&bench.stream).await;
    assert!(!capabilities.has_unknown(), "{capabilities:?}");
    let available = labels(&capabilities, &Availability::Available);
    if let Some(expected) = expected(&bench).await {
        assert_eq!(available, expected);
    }
    assert_eq!(available.len() + labels(&capabilities, &Availability::Unavailable).len(), 9);
    no_probe_keys(&bench).await;
    assert_eq!(bench.stream.info().await.unwrap().length, ids.len() as u64, "the stream is untouched");
}

#[tokio::test]
async fn a_stream_with_a_hash_tag_is_probed_in_its_slot() {
    let bench = Bench::start().await;
    bench.cmd::<String>("ACL SETUSER tenant on >pw +@all ~events:orders:{tenant_a}:*").await;
    let url = format!("redis://tenant:pw@127.0.0.1:{}", bench.server.port());
    let connector = Connector::new(ConnectSettings { url, ..ConnectSettings::default() }).unwrap();
    let key = stream_core::StreamKey::new("events:orders:{tenant_a}").unwrap();
    let stream = EventStream::new(connector.commands().unwrap(), key);
    let capabilities = Capabilities::probe(&stream).await;
    assert_eq!(capabilities, Capabilities::probe(&bench.stream).await, "no other key is needed");
}

#[tokio::test]
async fn what_the_user_may_not_do_is_denied_and_not_absent() {
    let bench = Bench::start().await;
    let servers = Capabilities::probe(&bench.stream).await;
    bench.cmd::<String>("ACL SETUSER narrow on >pw +@all ~* -xinfo").await;
    let url = format!("redis://narrow:pw@127.0.0.1:{}", bench.server.port());
    let connector = Connector::new(ConnectSettings { url, ..ConnectSettings::default() }).unwrap();
    let stream = EventStream::new(connector.commands().unwrap(), bench.stream.key().clone());
    let capabilities = Capabilities::probe(&stream).await;
    assert_eq!(*capabilities.state(Capability::ConsumerInactive), Availability::Denied);
    assert!(!capabilities.has(Capability::ConsumerInactive));
    assert_eq!(capabilities.has(Capability::WaitAof), servers.has(Capability::WaitAof));
    no_probe_keys(&bench).await;
}

#[tokio::test]
async fn what_could_not_be_tried_is_unknown() {
    let bench = Bench::start().await;
    bench.cmd::<()>("CONFIG SET maxmemory 1").await;
    let capabilities = Capabilities::probe(&bench.stream).await;
    let acked_trim = capabilities.state(Capability::AckedTrim);
    assert!(matches!(acked_trim, Availability::Unknown(_)), "{acked_trim:?}");
    assert!(capabilities.has_unknown());
    bench.cmd::<()>("CONFIG SET maxmemory 0").await;
    assert!(!Capabilities::probe(&bench.stream).await.has_unknown());
}

#[tokio::test]
async fn a_server_that_hangs_or_is_away_does_not_hold_the_probe() {
    let mut bench = Bench::start().await;
    bench.cmd::<()>("CLIENT PAUSE 60000 ALL").await;
    let settings = ConnectSettings {
        url: bench.server.url(),
        response_timeout: Duration::from_mins(1),
        ..ConnectSettings::default()
    };
    let connection = Connector::new(settings).unwrap().commands().unwrap();
    let stream = EventStream::new(connection, bench.stream.key().clone());
    let probe = tokio::time::timeout(SOON, Capabilities::probe(&stream)).await;
    let nothing_is_known = |found: &Capabilities| {
        assert!(found.iter().all(|(_, state)| matches!(state, Availability::Unknown(_))), "{found:?}");
    };
    nothing_is_known(&probe.expect("it is bounded"));
    bench.server.kill();
    nothing_is_known(&Capabilities::probe(&bench.stream).await);
}

#[tokio::test]
async fn a_probe_that_dies_leaves_keys_that_expire() {
    let server = RedisServer::start().await;
    let bench = Bench::on(server).await;
    // Dropped half-way: nothing cleans up but the server.
    let stream = bench.stream.clone();
    let probe = tokio::spawn(async move {
        loop {
            Capabilities::probe(&stream).await;
        }
    });
    eventually(SOON, "a probe's key is seen", async || {
        let keys: Vec<String> = bench.cmd("KEYS *probe*").await;
        (!keys.is_empty()).then_some(())
    })
    .await;
    probe.abort();
    _ = probe.await;
    let keys: Vec<String> = bench.cmd("KEYS *probe*").await;
    for key in keys {
        let ttl: i64 = bench.cmd(&format!("PTTL {key}")).await;
        assert!((1..=60_000).contains(&ttl), "{key}: {ttl}");
    }
}
