//! Losses: what retention by age or length removed before a group was handed it, counted and never invented.

use std::time::Duration;

use stream_core::{MaxLen, Precision, Retained, RetentionRule, StartAt, StreamId};

use crate::{
    retention::first,
    retention_guarded::{LEASE, bench_with_small_nodes, hold_lease},
    support::{Bench, GROUP},
};

async fn by_age(bench: &Bench, cutoff: StreamId) -> u64 {
    let rule = RetentionRule { cutoff, guarded: false, required: Vec::new(), stale_after: Duration::ZERO };
    let mut removed = 0;
    loop {
        let retained =
            bench.stream.retain(&rule, &[], LEASE).await.expect("Redis answers").expect("the lease is ours");
        removed += retained.removed;
        if retained.removed == 0 {
            return removed;
        }
    }
}

async fn by_length(bench: &Bench, entries: u64) -> Retained {
    bench.stream.cap_length(entries, LEASE).await.expect("Redis answers").expect("the lease is ours")
}

async fn lost(bench: &Bench, group: &str) -> u64 {
    let key = bench.stream.key().retention_lost();
    bench.cmd::<Option<u64>>(&format!("HGET {key} {group}")).await.unwrap_or(0)
}

/// As a producer does with MAXLEN.
async fn trim_to(bench: &Bench, entries: u64) {
    let to = MaxLen { entries, precision: Precision::Exact };
    bench.stream.trim_to_length(to).await.expect("XTRIM");
}

#[tokio::test]
async fn by_age_each_groups_loss_is_exact() {
    // Nodes of 100 entries: the groups' positions lie within one.
    let bench = Bench::with_group().await;
    hold_lease(&bench).await;
    let ids = bench.append(450).await;
    for (group, at) in [("at30", 29), ("at250", 249), ("at400", 399)] {
        bench.stream.ensure_group(group, StartAt::After(ids[at])).await.unwrap();
    }
    bench.deliver_to("a", 450).await;
    assert_eq!(by_age(&bench, ids[330]).await, 300);
    let losses = [lost(&bench, "at30").await, lost(&bench, "at250").await, lost(&bench, "at400").await];
    assert_eq!((losses, lost(&bench, GROUP).await), ([270, 50, 0], 0));
    assert_eq!(first(&bench).await, Some(ids[300]));
    // The total goes on from there.
    by_age(&bench, ids[400]).await;
    assert_eq!((lost(&bench, "at30").await, lost(&bench, "at400").await), (370, 0));
}

#[tokio::test]
async fn by_age_holes_are_not_losses() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(10).await;
    bench.cmd::<i64>(&format!("XDEL $stream {} {}", ids[3], ids[5])).await;
    by_age(&bench, ids[8]).await;
    assert_eq!(lost(&bench, GROUP).await, 6);
}

#[tokio::test]
async fn by_length_a_group_that_stands_still_loses_exactly_what_goes() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(20).await;
    bench.stream.ensure_group("at5", StartAt::After(ids[4])).await.unwrap();
    bench.stream.ensure_group("end", StartAt::After(ids[19])).await.unwrap();
    by_length(&bench, 1_000).await;
    // By a producer, between two rounds of the reaper.
    trim_to(&bench, 12).await;
    by_length(&bench, 1_000).await;
    assert_eq!((lost(&bench, GROUP).await, lost(&bench, "at5").await, lost(&bench, "end").await), (8, 3, 0));
    // By the reaper itself, once another tool has appended.
    bench.append(8).await;
    assert_eq!(by_length(&bench, 4).await.removed, 16);
    assert_eq!(
        (lost(&bench, GROUP).await, lost(&bench, "at5").await, lost(&bench, "end").await),
        (24, 19, 4)
    );
    let shown = by_length(&bench, 4).await;
    let shown: Vec<_> = shown.groups.iter().map(|group| (group.name.as_str(), group.lost)).collect();
    assert_eq!(shown, [("at5", 19), ("end", 4), (GROUP, 24)]);
}

#[tokio::test]
async fn by_length_a_group_that_moved_is_taken_to_have_read_what_it_passed() {
    let bench = bench_with_small_nodes().await;
    bench.append(10).await;
    by_length(&bench, 1_000).await;
    bench.deliver_to("a", 6).await;
    trim_to(&bench, 4).await;
    by_length(&bench, 1_000).await;
    assert_eq!(lost(&bench, GROUP).await, 0, "it had read what went");
    trim_to(&bench, 1).await;
    by_length(&bench, 1_000).await;
    assert_eq!(lost(&bench, GROUP).await, 3);
}

#[tokio::test]
async fn by_length_nothing_is_invented() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(10).await;
    by_length(&bench, 1_000).await;
    // XDEL, of the middle and of the front.
    bench.cmd::<i64>(&format!("XDEL $stream {} {} {}", ids[0], ids[4], ids[7])).await;
    by_length(&bench, 1_000).await;
    assert_eq!(lost(&bench, GROUP).await, 0);
    // A group set back behind what is gone, and one created there.
    trim_to(&bench, 2).await;
    by_length(&bench, 1_000).await;
    let before = lost(&bench, GROUP).await;
    bench.cmd::<()>(&format!("XGROUP SETID $stream {GROUP} 0")).await;
    bench.stream.ensure_group("new", StartAt::Beginning).await.unwrap();
    by_length(&bench, 1_000).await;
    assert_eq!((lost(&bench, GROUP).await, lost(&bench, "new").await), (before, 0));
    // The stream deleted and made anew.
    bench.cmd::<i64>("DEL $stream").await;
    bench.append(5).await;
    bench.stream.ensure_group(GROUP, StartAt::Beginning).await.unwrap();
    by_length(&bench, 1_000).await;
    assert_eq!(lost(&bench, GROUP).await, 0, "a new stream, a new group");
    // And from there on it is counted again.
    trim_to(&bench, 3).await;
    by_length(&bench, 1_000).await;
    assert_eq!(lost(&bench, GROUP).await, 2);
}

#[tokio::test]
async fn by_length_a_group_far_from_the_front_counts_at_least_what_came_later() {
    let bench = Bench::with_group().await;
    hold_lease(&bench).await;
    for _ in 0..12 {
        bench.append(1_000).await;
    }
    bench.deliver_to("a", 11_000).await;
    by_length(&bench, 100_000).await;
    bench.append(500).await;
    trim_to(&bench, 100).await;
    by_length(&bench, 100_000).await;
    // 1,400 in truth; where the group stood exactly was too far to count.
    assert_eq!(lost(&bench, GROUP).await, 400);
    trim_to(&bench, 40).await;
    by_length(&bench, 100_000).await;
    assert_eq!(lost(&bench, GROUP).await, 460);
}
