//! Retention: trims by length and by ID, and the guarded one that waits for groups.

use stream_core::{MaxLen, Precision, RangeQuery, StartAt, StreamId};

use crate::support::{Bench, GROUP};

async fn first(bench: &Bench) -> Option<StreamId> {
    let page = bench.stream.range(RangeQuery::default(), 1).await.expect("a page");
    page.entries.first().map(|entry| entry.id)
}

/// Guarded trims take whole nodes; with nodes of one entry they are exact.
async fn bench_with_small_nodes() -> Bench {
    let bench = Bench::with_group().await;
    bench.cmd::<()>("CONFIG SET stream-node-max-entries 1").await;
    bench
}

fn groups(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn exact_trims_are_exact() {
    let bench = Bench::start().await;
    let ids = bench.append(250).await;
    let removed = bench.stream.trim_before(ids[30], Precision::Exact).await.unwrap();
    assert_eq!((removed, first(&bench).await), (30, Some(ids[30])));
    let to = MaxLen { entries: 5, precision: Precision::Exact };
    assert_eq!(bench.stream.trim_to_length(to).await.unwrap(), 215);
    assert_eq!(first(&bench).await, Some(ids[245]));
}

#[tokio::test]
async fn approximate_trims_take_whole_nodes_and_never_too_much() {
    let bench = Bench::start().await;
    let ids = bench.append(350).await;
    // Nodes hold 100 entries.
    assert_eq!(bench.stream.trim_before(ids[199], Precision::Approximate).await.unwrap(), 100);
    let to = MaxLen { entries: 120, precision: Precision::Approximate };
    assert_eq!(bench.stream.trim_to_length(to).await.unwrap(), 100);
    assert_eq!(first(&bench).await, Some(ids[200]));
}

#[tokio::test]
async fn a_guarded_trim_stops_at_the_oldest_unacked_entry() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(10).await;
    bench.deliver_to("a", 8).await;
    bench.stream.ack(GROUP, &[ids[0], ids[1], ids[3]]).await.unwrap();
    let trimmed = bench.stream.trim_guarded(ids[9], &groups(&[GROUP])).await.unwrap();
    assert_eq!((trimmed.removed, trimmed.limit, trimmed.held_by.as_deref()), (2, ids[2], Some(GROUP)));
    assert_eq!(first(&bench).await, Some(ids[2]));
    bench.stream.ack(GROUP, &ids).await.unwrap();
    // Now the undelivered hold it: of what was delivered only the last may stay.
    let trimmed = bench.stream.trim_guarded(ids[9], &groups(&[GROUP])).await.unwrap();
    assert_eq!((trimmed.limit, trimmed.held_by.as_deref()), (ids[7], Some(GROUP)));
    assert_eq!(first(&bench).await, Some(ids[7]));
}

#[tokio::test]
async fn a_guarded_trim_goes_by_age_once_everybody_is_done() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(10).await;
    bench.deliver_to("a", 10).await;
    bench.stream.ack(GROUP, &ids).await.unwrap();
    bench.stream.ensure_group("foreign", StartAt::Beginning).await.unwrap();
    let trimmed = bench.stream.trim_guarded(ids[4], &groups(&[GROUP])).await.unwrap();
    assert_eq!((trimmed.removed, trimmed.limit, trimmed.held_by), (4, ids[4], None));
    let none = bench.stream.trim_guarded(ids[4], &groups(&[GROUP])).await.unwrap();
    assert_eq!(none.removed, 0);
}

#[tokio::test]
async fn a_guarded_trim_waits_for_the_slowest_and_for_a_group_that_is_missing() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(5).await;
    bench.stream.ensure_group("slow", StartAt::After(ids[1])).await.unwrap();
    bench.deliver_to("a", 5).await;
    bench.stream.ack(GROUP, &ids).await.unwrap();
    let trimmed = bench.stream.trim_guarded(ids[4], &groups(&["missing", GROUP])).await.unwrap();
    assert_eq!((trimmed.removed, trimmed.held_by.as_deref()), (0, Some("missing")));
    let trimmed = bench.stream.trim_guarded(ids[4], &groups(&[GROUP, "slow"])).await.unwrap();
    assert_eq!((trimmed.removed, trimmed.held_by.as_deref()), (1, Some("slow")));
    assert_eq!(first(&bench).await, Some(ids[1]));
}

#[tokio::test]
async fn a_guarded_trim_of_nothing_is_harmless() {
    let bench = Bench::start().await;
    let trimmed = bench.stream.trim_guarded(StreamId::new(9, 9), &groups(&[GROUP])).await.unwrap();
    assert_eq!((trimmed.removed, trimmed.limit), (0, StreamId::MIN));
    assert_eq!(bench.cmd::<i64>("EXISTS $stream").await, 0);
}

#[tokio::test]
async fn an_approximate_trim_is_bounded_and_can_be_repeated() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(250).await;
    bench.deliver_to("a", 250).await;
    bench.stream.ack(GROUP, &ids).await.unwrap();
    let trim = async || bench.stream.trim_guarded(ids[220], &groups(&[GROUP])).await.unwrap().removed;
    assert_eq!([trim().await, trim().await, trim().await, trim().await], [100, 100, 20, 0]);
}

#[tokio::test]
async fn a_group_that_needs_nothing_old_holds_nothing() {
    let bench = Bench::with_group().await;
    let ids = bench.append(5).await;
    bench.deliver_to("a", 5).await;
    bench.stream.ack(GROUP, &ids[..4]).await.unwrap();
    let later = ids[4].next().unwrap();
    let held_by = async || bench.stream.trim_guarded(later, &groups(&[GROUP])).await.unwrap().held_by;
    assert_eq!(held_by().await.as_deref(), Some(GROUP), "the newest entry is pending");
    bench.stream.ack(GROUP, &ids[4..]).await.unwrap();
    assert_eq!(held_by().await, None, "a node that is not full keeps them, not the group");
}
