//! Sweeps reach every row, however long the pending list.

use crate::support::{Bench, GROUP, STREAM};

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
    reaper.shows("reaper_dead_letters_total{reason=\"max_deliveries\"}", |value| value == Some(1.0)).await;
    // And the next sweep starts over: an entry at the front is found too.
    let exhaust = format!("XCLAIM {STREAM} {GROUP} gone 0 3-1 IDLE 3600000 RETRYCOUNT 99 JUSTID");
    bench.cmd::<redis::Value>(&exhaust).await;
    reaper.shows("reaper_dead_letters_total{reason=\"max_deliveries\"}", |value| value == Some(2.0)).await;
}
