//! Reading through a group, a consumer's own pending entries, and the tail outside of any group.

use std::time::Duration;

use stream_core::{ErrorKind, StreamId};

use crate::support::{Bench, GROUP};

const BLOCK: Duration = Duration::from_millis(50);

#[tokio::test]
async fn new_entries_are_delivered_once() {
    let bench = Bench::with_group().await;
    let ids = bench.append(5).await;
    let mut connection = bench.connector.blocking(BLOCK).unwrap();
    let first = bench.stream.read_new(&mut connection, GROUP, "a", 3, BLOCK).await.unwrap();
    let second = bench.stream.read_new(&mut connection, GROUP, "b", 9, BLOCK).await.unwrap();
    let read: Vec<_> = first.iter().chain(&second).map(|entry| entry.id).collect();
    assert_eq!(read, ids);
    assert!(bench.stream.read_new(&mut connection, GROUP, "a", 9, BLOCK).await.unwrap().is_empty());
    assert_eq!(bench.rows().await.len(), 5);
}

#[tokio::test]
async fn a_read_waits_for_the_first_entry() {
    let bench = Bench::with_group().await;
    let block = Duration::from_secs(10);
    let mut connection = bench.connector.blocking(block).unwrap();
    let read = bench.stream.read_new(&mut connection, GROUP, "a", 9, block);
    let append = async {
        testkit::eventually(block, "the read waits at the server", async || {
            let clients: String = bench.cmd("CLIENT LIST").await;
            clients.contains("cmd=xreadgroup").then_some(())
        })
        .await;
        bench.append(1).await
    };
    let (entries, ids) = tokio::join!(read, append);
    assert_eq!(entries.unwrap()[0].id, ids[0]);
}

#[tokio::test]
async fn a_missing_group_or_stream_is_told_as_such() {
    let bench = Bench::start().await;
    let mut connection = bench.connector.blocking(BLOCK).unwrap();
    let read = bench.stream.read_new(&mut connection, GROUP, "a", 3, BLOCK).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::NoGroup);
    bench.cmd::<()>("SET $stream text").await;
    let read = bench.stream.read_new(&mut connection, GROUP, "a", 3, BLOCK).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::WrongType);
}

#[tokio::test]
async fn own_pending_entries_come_in_pages_with_the_deleted_apart() {
    let bench = Bench::with_group().await;
    let ids = bench.append(5).await;
    bench.deliver_to("a", 4).await;
    bench.deliver_to("b", 1).await;
    bench.cmd::<i64>(&format!("XDEL $stream {}", ids[1])).await;
    let (entries, deleted) = bench.stream.read_own_pending(GROUP, "a", StreamId::MIN, 3).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [ids[0], ids[2]]);
    assert_eq!(deleted, [ids[1]]);
    let (rest, deleted) = bench.stream.read_own_pending(GROUP, "a", ids[2], 3).await.unwrap();
    assert_eq!((rest.len(), rest[0].id, deleted.len()), (1, ids[3], 0));
    // The reads counted as deliveries; the deleted entry is still pending.
    let counts: Vec<_> = bench.owners().await.into_iter().map(|(_, _, deliveries)| deliveries).collect();
    assert_eq!(counts, [2, 1, 2, 2, 1]);
}

#[tokio::test]
async fn a_tail_misses_nothing_between_its_reads() {
    let bench = Bench::start().await;
    let before = bench.append(3).await;
    let connection = bench.connector.blocking(BLOCK).unwrap();
    let mut tail = bench.stream.tail(connection, None, BLOCK).await.unwrap();
    assert!(tail.next().await.unwrap().is_empty(), "what was there before is not followed");
    let mut seen = Vec::new();
    let mut appended = Vec::new();
    for count in [1, 250, 0, 7] {
        // Between two reads, and more than one read returns.
        appended.extend(bench.append(count).await);
        while seen.len() < appended.len() {
            seen.extend(tail.next().await.unwrap().into_iter().map(|entry| entry.id));
        }
    }
    assert_eq!(seen, appended);
    let connection = bench.connector.blocking(BLOCK).unwrap();
    let mut from = bench.stream.tail(connection, Some(before[1]), BLOCK).await.unwrap();
    assert_eq!(from.next().await.unwrap()[0].id, before[2]);
}

#[tokio::test]
async fn a_tail_of_nothing_starts_at_the_first_entry() {
    let bench = Bench::start().await;
    let connection = bench.connector.blocking(BLOCK).unwrap();
    let mut tail = bench.stream.tail(connection, None, BLOCK).await.unwrap();
    let ids = bench.append(1).await;
    assert_eq!(tail.next().await.unwrap()[0].id, ids[0]);
}
