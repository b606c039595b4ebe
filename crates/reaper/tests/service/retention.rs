//! Retention removes everything that may go in one round, not 10,000 entries of it.

use testkit::eventually;

use crate::support::{Bench, GROUP, SOON, STREAM};

/// Six times what one call removes, with one round in the time of the test.
async fn trims_at_once(settings: &[(&str, &str)]) {
    let bench = Bench::start().await;
    bench.append_old(60_000).await;
    bench.cmd::<()>(&format!("XGROUP CREATE {STREAM} {GROUP} 60000-1")).await;
    let rare = [("ORDERFLOW__REAPER__INTERVAL", "1h"), ("ORDERFLOW__REAPER__LEASE_TTL", "3h")];
    let reaper = bench.reaper(&[&rare[..], settings].concat());
    eventually(SOON, "the old entries are gone", async || {
        let left: i64 = bench.cmd(&format!("XLEN {STREAM}")).await;
        if left <= 200 { Ok(()) } else { Err(format!("{left} are left; {}", reaper.log())) }
    })
    .await;
    reaper.shows("stream_entries_trimmed_total", |value| value >= Some(59_800.0)).await;
    // Fewer than a node's entries are left, older than allowed, but not because of a group.
    assert_eq!(reaper.metric("stream_retention_held").await, Some(0.0));
}

#[tokio::test]
async fn by_age() {
    trims_at_once(&[("ORDERFLOW__RETENTION__POLICY", "age")]).await;
}

#[tokio::test]
async fn by_length() {
    let settings = [("ORDERFLOW__RETENTION__POLICY", "maxlen"), ("ORDERFLOW__RETENTION__MAXLEN", "100")];
    trims_at_once(&settings).await;
}

#[tokio::test]
async fn by_age_as_far_as_groups_are_done() {
    let bench = [("ORDERFLOW__RETENTION__POLICY", "guarded"), ("ORDERFLOW__RETENTION__GROUPS", GROUP)];
    trims_at_once(&bench).await;
}
