//! Bounds on dead letters: the oldest are dropped, counted for good, and only by the active reaper.

use testkit::eventually;

use crate::support::{Bench, GROUP, SOON, STREAM};

fn dead_letters(group: &str) -> String {
    format!("{{{STREAM}}}:dlq:{group}")
}

fn dropped(group: &str) -> String {
    format!("stream_dead_letters_dropped_total{{group=\"{group}\",stream=\"{STREAM}\"}}")
}

/// So many dead letters, dead for decades.
async fn die_long_ago(bench: &Bench, group: &str, count: usize) {
    let script = "for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], i .. '-1', '_dl_id', i .. '-1') end";
    bench.words::<(), _>(&["EVAL", script, "1", &dead_letters(group), &count.to_string()]).await;
}

const BOUNDS: [(&str, &str); 2] =
    [("ORDERFLOW__DEAD_LETTERS__MAX_ENTRIES", "100"), ("ORDERFLOW__DEAD_LETTERS__MAX_AGE", "0s")];

#[tokio::test]
async fn the_oldest_are_dropped_counted_and_logged() {
    let bench = Bench::start().await;
    die_long_ago(&bench, GROUP, 25_100).await;
    bench.append_old(1).await;
    bench.deliver(GROUP, 1).await;
    let reaper = bench.reaper(&BOUNDS);
    reaper.shows(&dropped(GROUP), |value| value == Some(25_000.0)).await;
    let length: i64 = bench.cmd(&format!("XLEN {}", dead_letters(GROUP))).await;
    assert_eq!(length, 100);
    let oldest: Vec<redis::Value> = bench.cmd(&format!("XRANGE {} - 25000-99", dead_letters(GROUP))).await;
    assert!(oldest.is_empty(), "the newest stay");
    let shown = format!("stream_dead_letters{{group=\"{GROUP}\",stream=\"{STREAM}\"}}");
    reaper.shows(&shown, |value| value == Some(100.0)).await;
    reaper.shows(&dropped("analytics"), |value| value == Some(0.0)).await;
    assert_eq!(reaper.logged(&["WARN", GROUP, "25000"]), 1, "{}", reaper.log());
    drop(reaper);

    // Another one goes on counting where this one ended.
    bench.cmd::<String>(&format!("XADD {} 30000-1 a 1", dead_letters(GROUP))).await;
    let next = bench.reaper(&BOUNDS);
    next.shows(&dropped(GROUP), |value| value == Some(25_001.0)).await;
}

#[tokio::test]
async fn those_older_than_allowed_are_dropped_by_default() {
    let bench = Bench::start().await;
    die_long_ago(&bench, GROUP, 250).await;
    bench.cmd::<String>(&format!("XADD {} * a 1", dead_letters(GROUP))).await;
    let reaper = bench.reaper(&[]);
    reaper.shows(&dropped(GROUP), |value| value == Some(250.0)).await;
    assert_eq!(bench.cmd::<i64>(&format!("XLEN {}", dead_letters(GROUP))).await, 1);
}

#[tokio::test]
async fn a_standby_drops_and_shows_nothing_and_a_spoilt_key_stops_no_other_group() {
    let bench = Bench::start().await;
    bench.cmd::<()>(&format!("SET {} text", dead_letters("analytics"))).await;
    bench.cmd::<()>(&format!("SET {{{STREAM}}}:lease:reaper somebody")).await;
    die_long_ago(&bench, GROUP, 200).await;
    let reaper = bench.reaper(&BOUNDS);
    reaper.shows("reaper_leader", |value| value == Some(0.0)).await;
    assert_eq!(reaper.metric(&dropped(GROUP)).await, None);
    assert_eq!(bench.cmd::<i64>(&format!("XLEN {}", dead_letters(GROUP))).await, 200);
    bench.cmd::<i64>(&format!("DEL {{{STREAM}}}:lease:reaper")).await;
    reaper.shows(&dropped(GROUP), |value| value == Some(100.0)).await;
    assert_eq!(reaper.metric(&dropped("analytics")).await, None);
    assert!(reaper.metric("reaper_errors_total").await >= Some(1.0));
    // Sweeping fails by the same key, and lines of steps that fail together come one at a time.
    eventually(SOON, "the failing step is logged", async || {
        (reaper.logged(&["bounding dead letters", "analytics"]) == 1).then_some(())
    })
    .await;
}
