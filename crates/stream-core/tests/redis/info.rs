//! What the server knows: figures of streams, groups and consumers, and the lag.

use stream_core::{
    ConnectSettings, Connector, ErrorKind, Lag, Precision, ServerInfo, ServerVersion, StartAt, StreamInfo,
};

use crate::support::{Bench, GROUP};

async fn lag(bench: &Bench, group: &str) -> Lag {
    let stream = bench.stream.info().await.expect("XINFO STREAM");
    let groups = bench.stream.groups().await.expect("XINFO GROUPS");
    let group = groups.iter().find(|info| info.name == group).expect("the group");
    bench.stream.lag(&stream, group).await.expect("the lag")
}

#[tokio::test]
async fn a_stream_that_is_not_there_is_all_zero() {
    let bench = Bench::start().await;
    assert_eq!(bench.stream.info().await.unwrap(), StreamInfo::default());
    assert!(bench.stream.groups().await.unwrap().is_empty());
    assert!(bench.stream.consumers(GROUP).await.unwrap().is_empty());
    assert_eq!(bench.stream.dead_letter_count(GROUP).await.unwrap(), 0);
    bench.stream.ensure_group("other", StartAt::Beginning).await.unwrap();
    assert_eq!(bench.stream.consumers(GROUP).await.unwrap_err().kind(), ErrorKind::NoGroup);
}

#[tokio::test]
async fn figures_of_stream_group_and_consumer() {
    let bench = Bench::with_group().await;
    let ids = bench.append(5).await;
    bench.deliver_to("a", 2).await;
    bench.cmd::<i64>(&format!("XDEL $stream {}", ids[4])).await;
    let stream = bench.stream.info().await.unwrap();
    assert_eq!((stream.length, stream.entries_added, stream.last_generated_id), (4, 5, ids[4]));
    assert_eq!((stream.first_entry.unwrap().id, stream.last_entry.unwrap().id), (ids[0], ids[3]));
    let group = &bench.stream.groups().await.unwrap()[0];
    assert_eq!((group.consumers, group.pending, group.last_delivered_id), (1, 2, ids[1]));
    assert_eq!(bench.stream.oldest_undelivered(group).await.unwrap(), Some(ids[2]));
    let consumer = &bench.stream.consumers(GROUP).await.unwrap()[0];
    assert_eq!((consumer.name.as_str(), consumer.pending), ("a", 2));
}

#[tokio::test]
async fn the_lag_of_an_untouched_stream() {
    let bench = Bench::with_group().await;
    assert_eq!(lag(&bench, GROUP).await, Lag::Known(0));
    bench.append(5).await;
    assert_eq!(lag(&bench, GROUP).await, Lag::Known(5));
    bench.deliver_to("a", 2).await;
    assert_eq!(lag(&bench, GROUP).await, Lag::Known(3));
    bench.deliver_to("a", 3).await;
    assert_eq!(lag(&bench, GROUP).await, Lag::Known(0));
}

#[tokio::test]
async fn the_lag_where_the_server_does_not_know() {
    let bench = Bench::start().await;
    let ids = bench.append(5).await;
    bench.stream.ensure_group("middle", StartAt::After(ids[1])).await.unwrap();
    bench.stream.ensure_group("end", StartAt::End).await.unwrap();
    bench.append(2).await;
    let groups = bench.stream.groups().await.unwrap();
    assert!(groups.iter().all(|group| group.server_lag == Lag::Unknown), "{groups:?}");
    assert_eq!(lag(&bench, "middle").await, Lag::Known(5));
    assert_eq!(lag(&bench, "end").await, Lag::Known(2));
}

#[tokio::test]
async fn a_negative_or_excessive_server_lag_is_not_believed() {
    let bench = Bench::start().await;
    let ids = bench.append(5).await;
    bench.cmd::<()>(&format!("XGROUP CREATE $stream negative {} ENTRIESREAD 90", ids[1])).await;
    bench.cmd::<()>(&format!("XGROUP CREATE $stream zero {} ENTRIESREAD 5", ids[1])).await;
    let groups = bench.stream.groups().await.unwrap();
    // Redis 7.0 and Valkey say a negative number, which is unknown; Redis 8 says 0.
    assert!([Lag::Unknown, Lag::Known(0)].contains(&groups[0].server_lag), "the server is wrong");
    assert_eq!(lag(&bench, "negative").await, Lag::Known(3));
    assert_eq!(lag(&bench, "zero").await, Lag::Known(3));
}

#[tokio::test]
async fn the_lag_after_trims_and_deletions() {
    let bench = Bench::with_group().await;
    let ids = bench.append(10).await;
    bench.deliver_to("a", 2).await;
    bench.stream.trim_before(ids[5], Precision::Exact).await.unwrap();
    assert_eq!(lag(&bench, GROUP).await, Lag::Known(5), "trimmed past the group");
    bench.deliver_to("a", 1).await;
    assert_eq!(lag(&bench, GROUP).await, Lag::Known(4));
    bench.cmd::<i64>(&format!("XDEL $stream {}", ids[8])).await;
    assert_eq!(lag(&bench, GROUP).await, Lag::Known(3), "a hole ahead of the group");
    bench.deliver_to("a", 9).await;
    assert_eq!(lag(&bench, GROUP).await, Lag::Known(0));
    bench.stream.trim_before(ids[9].next().unwrap(), Precision::Exact).await.unwrap();
    assert_eq!(lag(&bench, GROUP).await, Lag::Known(0), "an empty stream");
}

#[tokio::test]
async fn a_lag_too_long_to_count_is_unknown_and_never_zero() {
    let bench = Bench::with_group().await;
    let mut ids = Vec::new();
    for _ in 0..42 {
        ids.extend(bench.append(500).await);
    }
    bench.deliver_to("a", 2).await;
    assert_eq!(lag(&bench, GROUP).await, Lag::Known(20_998), "nothing was ever removed");
    bench.cmd::<i64>(&format!("XDEL $stream {} {}", ids[0], ids[20_000])).await;
    let set = async |at: usize| bench.cmd::<()>(&format!("XGROUP SETID $stream {GROUP} {}", ids[at])).await;
    set(1).await;
    assert_eq!(lag(&bench, GROUP).await, Lag::Known(20_997), "counted from the first entry to the group");
    set(19_000).await;
    assert_eq!(lag(&bench, GROUP).await, Lag::Known(1_998), "counted from the group to the last entry");
    set(10_500).await;
    assert_eq!(lag(&bench, GROUP).await, Lag::Unknown, "far from either");
}

#[tokio::test]
async fn the_server_tells_its_version_and_policy() {
    let bench = Bench::start().await;
    let info = ServerInfo::ask(bench.stream.connection()).await.unwrap();
    assert!(info.version >= ServerVersion::OLDEST);
    assert!(!info.may_evict());
    assert!(
        Connector::new(ConnectSettings { url: "http://x".into(), ..ConnectSettings::default() }).is_err()
    );
}

#[tokio::test]
async fn names_that_are_no_text_are_shown_and_hide_nothing() {
    let bench = Bench::with_group().await;
    bench.append(1).await;
    let mut raw = bench.server.connection().await;
    let key = bench.stream.key().as_str();
    let mut group = redis::cmd("XGROUP");
    group.arg("CREATE").arg(key).arg(b"g\xff").arg("0");
    group.query_async::<()>(&mut raw).await.unwrap();
    let mut read = redis::cmd("XREADGROUP");
    read.arg("GROUP").arg(GROUP).arg(b"\xfec").arg("STREAMS").arg(key).arg(">");
    read.query_async::<redis::Value>(&mut raw).await.unwrap();
    let groups = bench.stream.groups().await.unwrap();
    let shown: Vec<_> = groups.iter().map(|group| (group.name.as_str(), group.is_addressable())).collect();
    assert_eq!(shown, [(GROUP, true), ("g\u{fffd}", false)]);
    let consumers = bench.stream.consumers(GROUP).await.unwrap();
    assert_eq!((consumers[0].name.as_str(), consumers[0].is_addressable()), ("\u{fffd}c", false));
    let summary = bench.stream.pending_summary(GROUP).await.unwrap();
    assert_eq!(summary.consumers, [("\u{fffd}c".to_owned(), 1)]);
}
