//! Sweeps reach every row, however long the pending list.

use testkit::eventually;

use crate::support::{Bench, GROUP, SOON, STREAM};

/// The series of what sweeps made dead letters of the group.
fn swept(reason: &str) -> String {
    series_of(GROUP, reason)
}

fn series_of(group: &str, reason: &str) -> String {
    format!("reaper_dead_letters_total{{group=\"{group}\",reason=\"{reason}\"}}")
}

#[tokio::test]
async fn dead_letters_are_counted_by_group_and_a_destroyed_group_leaves_no_series() {
    let bench = Bench::start().await;
    bench.append_old(1).await;
    bench.deliver(GROUP, 0).await;
    bench.deliver("billing", 1).await;
    bench.deliver("foreign", 1).await;
    bench.cmd::<i64>(&format!("HSET {{{STREAM}}}:workers billing/gone x")).await;
    let exhaust = format!("XCLAIM {STREAM} billing gone 0 1-1 IDLE 3600000 RETRYCOUNT 99 JUSTID");
    bench.cmd::<redis::Value>(&exhaust).await;
    let reaper = bench.reaper(&[]);
    // The configured ones at 0 from the start, the one that workers have registered once it is swept; nobody else's.
    reaper.shows(&series_of("billing", "max_deliveries"), |value| value == Some(1.0)).await;
    for series in [
        series_of("billing", "payload_lost"),
        swept("max_deliveries"),
        swept("payload_lost"),
        series_of("analytics", "max_deliveries"),
    ] {
        reaper.shows(&series, |value| value == Some(0.0)).await;
    }
    assert_eq!(reaper.metric(&series_of("foreign", "max_deliveries")).await, None);
    bench.cmd::<i64>(&format!("XGROUP DESTROY {STREAM} billing")).await;
    for reason in ["max_deliveries", "payload_lost"] {
        reaper.shows(&series_of("billing", reason), |value| value.is_none()).await;
    }
    assert_eq!(reaper.metric(&swept("max_deliveries")).await, Some(0.0));
}

#[tokio::test]
async fn an_exhausted_entry_behind_a_hundred_thousand_others_is_found() {
    let bench = Bench::start().await;
    bench.append_old(101_000).await;
    bench.deliver(GROUP, 101_000).await;
    let exhaust = format!("XCLAIM {STREAM} {GROUP} gone 0 100900-1 IDLE 3600000 RETRYCOUNT 99 JUSTID");
    bench.cmd::<redis::Value>(&exhaust).await;
    let reaper = bench.reaper(&[
        ("ORDERFLOW__WORKER__CLAIM_MIN_IDLE", "1s"),
        ("ORDERFLOW__WORKER__LEASE_RENEW_INTERVAL", "400ms"),
        ("ORDERFLOW__REAPER__LEASE_TTL", "20s"),
    ]);
    // Those that are idle long enough fill 202 pages; a sweep is of 200.
    reaper.shows(&swept("max_deliveries"), |value| value == Some(1.0)).await;
    // And the next sweep starts over: an entry at the front is found too.
    let exhaust = format!("XCLAIM {STREAM} {GROUP} gone 0 3-1 IDLE 3600000 RETRYCOUNT 99 JUSTID");
    bench.cmd::<redis::Value>(&exhaust).await;
    reaper.shows(&swept("max_deliveries"), |value| value == Some(2.0)).await;
}

#[tokio::test]
async fn many_dead_letters_at_once_are_one_line_in_the_log() {
    let bench = Bench::start().await;
    bench.append_old(2_000).await;
    bench.deliver(GROUP, 2_000).await;
    let exhaust = "for _, row in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 2000)) do \
        redis.call('XCLAIM', KEYS[1], ARGV[1], 'gone', 0, row[1], 'IDLE', 3600000, 'RETRYCOUNT', 99, 'JUSTID') end";
    bench.words::<(), _>(&["EVAL", exhaust, "1", STREAM, GROUP]).await;
    let reaper = bench.reaper(&[]);
    // Four pages.
    reaper.shows(&swept("max_deliveries"), |value| value == Some(2_000.0)).await;
    eventually(SOON, "they are logged", async || {
        (reaper.logged(&["dead letters", "count=2000", "first=1-1"]) == 1).then_some(()).ok_or(reaper.log())
    })
    .await;
    assert_eq!(reaper.logged(&["dead letters", "max_deliveries"]), 1, "{}", reaper.log());
}

#[tokio::test]
async fn a_name_whose_consumer_is_gone_leaves_the_registry() {
    let bench = Bench::start().await;
    bench.append_old(1).await;
    bench.deliver(GROUP, 0).await;
    // It died before it had a consumer, or its group was destroyed since.
    let registry = format!("{{{STREAM}}}:workers");
    bench.cmd::<i64>(&format!("HSET {registry} {GROUP}/ghost x {GROUP}/alive x")).await;
    bench.cmd::<()>(&format!("SET {{{STREAM}}}:lease:consumer:{GROUP}:alive somebody")).await;
    let _reaper = bench.reaper(&[
        ("ORDERFLOW__WORKER__LEASE_TTL", "500ms"),
        ("ORDERFLOW__WORKER__LEASE_RENEW_INTERVAL", "100ms"),
    ]);
    eventually(SOON, "the registry holds only who is alive", async || {
        let names: Vec<String> = bench.cmd(&format!("HKEYS {registry}")).await;
        if names == [format!("{GROUP}/alive")] { Ok(()) } else { Err(names.join(" ")) }
    })
    .await;
}

#[tokio::test]
async fn what_was_sent_back_to_a_group_is_looked_after_too() {
    let bench = Bench::start().await;
    let redrive = format!("{{{STREAM}}}:redrive:{GROUP}");
    bench.append_old(1).await;
    bench.deliver(GROUP, 0).await;
    bench.cmd::<()>(&format!("XGROUP CREATE {redrive} {GROUP} 0 MKSTREAM")).await;
    for (original, count) in [("5-1", 99), ("5-2", 1)] {
        let append = format!("XADD {redrive} * _redrive_of {original} _redrive_count 1 n 1");
        let row: String = bench.cmd(&append).await;
        bench.cmd::<redis::Value>(&format!("XREADGROUP GROUP {GROUP} gone STREAMS {redrive} >")).await;
        let age = format!("XCLAIM {redrive} {GROUP} gone 0 {row} IDLE 3600000 RETRYCOUNT {count} JUSTID");
        bench.cmd::<redis::Value>(&age).await;
    }
    // A peer that lives, and one that is gone.
    let lease = |name: &str| format!("{{{STREAM}}}:lease:consumer:{GROUP}:{name}");
    bench.cmd::<()>(&format!("SET {} somebody", lease("peer"))).await;
    bench.cmd::<i64>(&format!("XGROUP CREATECONSUMER {STREAM} {GROUP} peer")).await;
    bench.cmd::<i64>(&format!("HSET {{{STREAM}}}:workers {GROUP}/gone x {GROUP}/peer x")).await;
    let reaper = bench.reaper(&[
        ("ORDERFLOW__WORKER__LEASE_TTL", "500ms"),
        ("ORDERFLOW__WORKER__LEASE_RENEW_INTERVAL", "100ms"),
    ]);
    reaper.shows(&swept("max_deliveries"), |value| value == Some(1.0)).await;
    reaper.shows("reaper_consumers_deleted_total", |value| value == Some(1.0)).await;
    let letters: Vec<(String, Vec<String>)> =
        bench.cmd(&format!("XRANGE {{{STREAM}}}:dlq:{GROUP} - +")).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].1[..2], ["_dl_id", "5-1"]);
    let rows: Vec<(String, String, u64, u64)> =
        bench.cmd(&format!("XPENDING {redrive} {GROUP} - + 10")).await;
    assert!(rows.len() == 1 && rows[0].1 == "peer" && rows[0].3 == 1, "{rows:?}");
    assert_eq!(
        bench.cmd::<Vec<String>>(&format!("HKEYS {{{STREAM}}}:workers")).await,
        [format!("{GROUP}/peer")]
    );
}
