//! Retention: whom it waits for and how long, what it cost whom, and that a round removes all that may go.

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

fn series(name: &str, group: &str) -> String {
    format!("{name}{{group=\"{group}\",stream=\"{STREAM}\"}}")
}

#[tokio::test]
async fn a_silent_group_is_warned_of_first_and_then_not_waited_for() {
    let bench = Bench::start().await;
    bench.append_old(1_000).await;
    bench.cmd::<()>(&format!("XGROUP CREATE {STREAM} {GROUP} 1000-1")).await;
    bench.cmd::<()>(&format!("XGROUP CREATE {STREAM} third 0")).await;
    let settings =
        [("ORDERFLOW__RETENTION__GROUPS", GROUP), ("ORDERFLOW__RETENTION__STALE_GROUP_AFTER", "8s")];
    let reaper = bench.reaper(&settings);
    // The operator is told who holds retention back, and until when.
    reaper.shows(&series("stream_group_holds_retention", "third"), |value| value == Some(1.0)).await;
    assert_eq!(reaper.metric("stream_retention_held").await, Some(1.0));
    assert_eq!(reaper.logged(&["needs entries older than retention.age", "third", "wait_seconds"]), 1);
    let until = reaper.metric(&series("stream_seconds_until_trim", "third")).await.unwrap();
    assert!((1.0..=8.0).contains(&until), "{until}");
    assert_eq!(reaper.metric(&series("stream_group_stale_warning", "third")).await, Some(0.0));

    reaper.shows(&series("stream_group_stale_warning", "third"), |value| value == Some(1.0)).await;
    assert_eq!(reaper.metric(&series("stream_group_stale", "third")).await, Some(0.0), "{}", reaper.log());
    assert!(reaper.metric(&series("stream_group_silent_seconds", "third")).await >= Some(4.0));
    let length: i64 = bench.cmd(&format!("XLEN {STREAM}")).await;
    assert_eq!((length, reaper.logged(&["soon retention will not wait", "third"])), (1_000, 1));

    reaper.shows(&series("stream_group_stale", "third"), |value| value == Some(1.0)).await;
    reaper.shows(&series("stream_group_entries_lost_total", "third"), |value| value == Some(1_000.0)).await;
    assert_eq!(reaper.metric(&series("stream_group_entries_lost_total", GROUP)).await, Some(0.0));
    assert_eq!(reaper.metric(&series("stream_group_stale_warning", GROUP)).await, Some(0.0));
    assert_eq!(reaper.metric("stream_retention_held").await, Some(0.0));
    let log = reaper.log();
    let (warned, gone) = (log.find("soon retention will not wait"), log.find("does not wait for this group"));
    assert!(warned.is_some() && warned < gone, "{log}");

    // What is known is in Redis: another reaper goes on with it.
    drop(reaper);
    let successor = bench.reaper(&settings);
    successor
        .shows(&series("stream_group_entries_lost_total", "third"), |value| value == Some(1_000.0))
        .await;
    assert_eq!(successor.logged(&["entries were removed before"]), 0, "that has been said");
}

#[tokio::test]
async fn a_silent_group_stays_so_under_another_reaper() {
    let bench = Bench::start().await;
    bench.append_old(1_000).await;
    bench.cmd::<()>(&format!("XGROUP CREATE {STREAM} {GROUP} 1000-1")).await;
    bench.cmd::<()>(&format!("XGROUP CREATE {STREAM} third 0")).await;
    let settings = [("ORDERFLOW__RETENTION__GROUPS", GROUP)];
    let key = format!("{{{STREAM}}}:retention:groups");
    // Silent since 2001, as an earlier reaper has seen a moment ago.
    let (now, _): (String, String) = bench.cmd("TIME").await;
    bench.words::<i64, _>(&["HSET", &key, "third", &format!("0-0 1000000000000 {now}000")]).await;
    let reaper = bench.reaper(&settings);
    reaper.shows(&series("stream_group_stale", "third"), |value| value == Some(1.0)).await;
    // It moves, and has its full time again.
    bench.append_old_from(1_001, 1_500).await;
    bench.cmd::<redis::Value>(&format!("XREADGROUP GROUP third c COUNT 1 STREAMS {STREAM} >")).await;
    reaper.shows(&series("stream_group_stale", "third"), |value| value == Some(0.0)).await;
    assert!(reaper.metric(&series("stream_group_silent_seconds", "third")).await < Some(20.0));
    assert_eq!(reaper.logged(&["gave a sign of life", "third"]), 1, "{}", reaper.log());
}

#[tokio::test]
async fn losses_by_length_are_counted_whoever_trims() {
    let bench = Bench::start().await;
    bench.append_old(1_000).await;
    bench.cmd::<()>(&format!("XGROUP CREATE {STREAM} {GROUP} 0")).await;
    bench.cmd::<()>(&format!("XGROUP CREATE {STREAM} at500 500-1")).await;
    let settings = [("ORDERFLOW__RETENTION__POLICY", "maxlen"), ("ORDERFLOW__RETENTION__MAXLEN", "100000")];
    let reaper = bench.reaper(&settings);
    reaper.shows(&series("stream_group_entries_lost_total", GROUP), |value| value == Some(0.0)).await;
    bench.cmd::<i64>(&format!("XTRIM {STREAM} MAXLEN = 300")).await;
    reaper.shows(&series("stream_group_entries_lost_total", GROUP), |value| value == Some(700.0)).await;
    reaper.shows(&series("stream_group_entries_lost_total", "at500"), |value| value == Some(200.0)).await;
    assert_eq!(reaper.logged(&["entries were removed before this group read them", "at500"]), 1);
    assert_eq!(reaper.metric(&series("stream_seconds_until_trim", GROUP)).await, None);
}

#[tokio::test]
async fn what_the_first_round_of_a_reaper_costs_a_group_is_logged() {
    let bench = Bench::start().await;
    bench.append_old(1_000).await;
    bench.cmd::<()>(&format!("XGROUP CREATE {STREAM} {GROUP} 0")).await;
    // Before it, an earlier one has counted and said so many.
    bench.cmd::<i64>(&format!("HSET {{{STREAM}}}:retention:lost {GROUP} 70")).await;
    let reaper = bench.reaper(&[("ORDERFLOW__RETENTION__POLICY", "age")]);
    reaper.shows(&series("stream_group_entries_lost_total", GROUP), |value| value == Some(1_070.0)).await;
    let said = ["entries were removed before this group read them", GROUP, "lost=1000", "total=1070"];
    assert_eq!(reaper.logged(&said), 1, "{}", reaper.log());
}

#[tokio::test]
async fn a_rebuild_that_holds_retention_back_is_called_one() {
    let bench = Bench::start().await;
    bench.append_old(1_000).await;
    bench.cmd::<()>(&format!("XGROUP CREATE {STREAM} {GROUP} 1000-1")).await;
    let hold = format!("HSET {{{STREAM}}}:retention:holds rebuild:{GROUP} *");
    let hold: Vec<&str> =
        hold.split(' ').map(|word| if word == "*" { "1-1 9999999999999" } else { word }).collect();
    bench.words::<i64, _>(&hold).await;
    let reaper = bench.reaper(&[("ORDERFLOW__RETENTION__GROUPS", GROUP)]);
    reaper.shows("stream_retention_held", |value| value == Some(1.0)).await;
    eventually(SOON, "it is logged", async || {
        let told = ["a rebuild needs entries older than retention.age", "rebuild:notifications"];
        (reaper.logged(&told) == 1).then_some(()).ok_or(reaper.log())
    })
    .await;
    assert_eq!(reaper.logged(&["one of retention.groups"]), 0, "{}", reaper.log());
}

#[tokio::test]
async fn by_age_the_time_until_a_loss_is_shown_before_it() {
    let bench = Bench::start().await;
    bench.cmd::<String>(&format!("XADD {STREAM} * n 1")).await;
    bench.cmd::<()>(&format!("XGROUP CREATE {STREAM} unread 0")).await;
    bench.cmd::<()>(&format!("XGROUP CREATE {STREAM} done $")).await;
    let settings = [("ORDERFLOW__RETENTION__POLICY", "age"), ("ORDERFLOW__RETENTION__AGE", "1h")];
    let reaper = bench.reaper(&settings);
    let until = series("stream_seconds_until_trim", "unread");
    reaper.shows(&until, |value| value.is_some_and(|until| (3_500.0..=3_600.0).contains(&until))).await;
    assert_eq!(reaper.metric(&series("stream_seconds_until_trim", "done")).await, None, "it has read all");
    assert_eq!(reaper.metric(&series("stream_group_stale", "unread")).await, None, "nobody is waited for");
    // Delivered and not acked is threatened as well.
    bench.cmd::<redis::Value>(&format!("XREADGROUP GROUP unread c COUNT 1 STREAMS {STREAM} >")).await;
    let later = reaper.metric(&until).await;
    reaper.shows(&until, |value| value < later).await;
}
