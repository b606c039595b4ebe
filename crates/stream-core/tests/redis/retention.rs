//! Trims by length and by ID, whoever still needs what goes.

use stream_core::{MaxLen, Precision, RangeQuery, StreamId};

use crate::support::Bench;

pub(crate) async fn first(bench: &Bench) -> Option<StreamId> {
    let page = bench.stream.range(RangeQuery::default(), 1).await.expect("a page");
    page.entries.first().map(|entry| entry.id)
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
async fn the_size_of_a_node_is_the_servers_to_tell() {
    let bench = Bench::start().await;
    assert_eq!(bench.stream.node_entries_max().await.unwrap(), Some(100));
    bench.cmd::<()>("CONFIG SET stream-node-max-entries 7").await;
    assert_eq!(bench.stream.node_entries_max().await.unwrap(), Some(7));
    bench.cmd::<()>("CONFIG SET stream-node-max-entries 0").await;
    assert_eq!(bench.stream.node_entries_max().await.unwrap(), None, "no limit");
}
