//! Replay: pages and streams of history, forwards and backwards.

use futures_util::TryStreamExt;
use stream_core::{Direction, RangeQuery, StreamId};

use crate::support::Bench;

async fn read_in_pages(bench: &Bench, query: RangeQuery, count: usize) -> Vec<StreamId> {
    let mut ids = Vec::new();
    let mut next = Some(query);
    while let Some(query) = next {
        let page = bench.stream.range(query, count).await.expect("a page");
        assert!(page.entries.len() <= count);
        ids.extend(page.entries.into_iter().map(|entry| entry.id));
        next = page.next;
    }
    ids
}

#[tokio::test]
async fn pages_cover_the_range_once_in_either_direction() {
    let bench = Bench::start().await;
    let ids = bench.append(25).await;
    let mut backwards = ids.clone();
    backwards.reverse();
    let backward = RangeQuery { direction: Direction::Backward, ..RangeQuery::default() };
    for count in [1, 7, 25, 100] {
        assert_eq!(read_in_pages(&bench, RangeQuery::default(), count).await, ids);
        assert_eq!(read_in_pages(&bench, backward, count).await, backwards);
    }
}

#[tokio::test]
async fn both_ends_are_included() {
    let bench = Bench::start().await;
    let ids = bench.append(9).await;
    for direction in [Direction::Forward, Direction::Backward] {
        let query = RangeQuery { start: ids[2], end: ids[6], direction };
        let mut read = read_in_pages(&bench, query, 2).await;
        read.sort();
        assert_eq!(read, ids[2..=6]);
    }
    let none = RangeQuery { start: ids[6], end: ids[2], ..RangeQuery::default() };
    assert!(read_in_pages(&bench, none, 5).await.is_empty());
}

#[tokio::test]
async fn a_range_as_a_stream_goes_beyond_a_page() {
    let bench = Bench::start().await;
    let ids = bench.append(1_201).await;
    let all: Vec<_> = bench.stream.range_stream(RangeQuery::default()).try_collect().await.unwrap();
    assert_eq!(all.iter().map(|entry| entry.id).collect::<Vec<_>>(), ids);
    let backward = RangeQuery { direction: Direction::Backward, ..RangeQuery::default() };
    let all: Vec<_> = bench.stream.range_stream(backward).try_collect().await.unwrap();
    assert_eq!((all.len(), all[0].id), (1_201, ids[1_200]));
}

#[tokio::test]
async fn an_entry_is_found_by_its_id() {
    let bench = Bench::start().await;
    let ids = bench.append(2).await;
    assert_eq!(bench.stream.get(ids[1]).await.unwrap().unwrap().fields.get("n"), Some(&b"1"[..]));
    assert_eq!(bench.stream.get(StreamId::new(1, 1)).await.unwrap(), None);
    assert!(bench.dead_letter_stream().get(ids[0]).await.unwrap().is_none(), "no such stream");
}
