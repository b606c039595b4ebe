//! The pending entries list: ack, summary, rows, claim, autoclaim.

use std::time::Duration;

use stream_core::{PendingFilter, PendingSummary, StreamId};

use crate::support::{Bench, GROUP, MIN_IDLE};

#[tokio::test]
async fn many_are_acked_at_once() {
    let bench = Bench::with_group().await;
    let ids = bench.append(1_000).await;
    bench.deliver_to("a", 999).await;
    assert_eq!(bench.stream.ack(GROUP, &ids).await.unwrap(), 999, "the last was not delivered");
    assert_eq!(bench.stream.ack(GROUP, &ids).await.unwrap(), 0);
    assert_eq!(bench.stream.ack(GROUP, &[]).await.unwrap(), 0);
    assert!(bench.rows().await.is_empty());
}

#[tokio::test]
async fn the_summary_counts_by_consumer() {
    let bench = Bench::with_group().await;
    assert_eq!(bench.stream.pending_summary(GROUP).await.unwrap(), PendingSummary::default());
    let ids = bench.append(5).await;
    bench.deliver_to("a", 2).await;
    bench.deliver_to("b", 3).await;
    let summary = bench.stream.pending_summary(GROUP).await.unwrap();
    assert_eq!((summary.count, summary.range), (5, Some((ids[0], ids[4]))));
    assert_eq!(summary.consumers, [("a".to_owned(), 2), ("b".to_owned(), 3)]);
}

#[tokio::test]
async fn rows_are_filtered_by_idle_time_range_and_consumer() {
    let bench = Bench::with_group().await;
    let ids = bench.append(6).await;
    bench.deliver_to("a", 3).await;
    bench.deliver_to("b", 3).await;
    let hour = Duration::from_hours(1);
    bench.set_row("a", ids[1], 7, hour).await;
    bench.set_row("b", ids[4], 1, hour).await;
    let list = async |filter: PendingFilter<'_>| {
        let rows = bench.stream.pending(GROUP, &filter).await.unwrap();
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let all = PendingFilter::default();
    assert_eq!(list(all.clone()).await, ids);
    let min_idle = Some(Duration::from_mins(1));
    assert_eq!(list(PendingFilter { min_idle, ..all.clone() }).await, [ids[1], ids[4]]);
    assert_eq!(list(PendingFilter { min_idle, consumer: Some("b"), ..all.clone() }).await, [ids[4]]);
    assert_eq!(list(PendingFilter { start: ids[1], end: ids[2], ..all.clone() }).await, ids[1..=2]);
    assert_eq!(list(PendingFilter { count: 2, ..all }).await, ids[..2]);
    let row = &bench.rows().await[1];
    assert_eq!((row.consumer.as_str(), row.deliveries), ("a", 7));
    assert!(row.idle >= hour);
}

#[tokio::test]
async fn a_claim_takes_only_what_has_been_idle() {
    let bench = Bench::with_group().await;
    let ids = bench.append(3).await;
    bench.deliver_to("a", 3).await;
    bench.set_row("a", ids[1], 1, MIN_IDLE).await;
    let minute = Duration::from_mins(1);
    assert!(bench.stream.claim(GROUP, "b", minute, &ids).await.unwrap().is_empty());
    bench.set_row("a", ids[1], 1, minute).await;
    let claimed = bench.stream.claim(GROUP, "b", minute, &ids).await.unwrap();
    assert_eq!(claimed.iter().map(|entry| entry.id).collect::<Vec<_>>(), [ids[1]]);
    assert_eq!(claimed[0].fields.get("n"), Some(&b"1"[..]));
    assert_eq!(bench.owners().await[1], (ids[1], "b".into(), 2));
    assert!(bench.stream.claim(GROUP, "c", minute, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_autoclaim_covers_the_list_by_its_cursor_and_tells_of_the_deleted() {
    let bench = Bench::with_group().await;
    let ids = bench.append(50).await;
    bench.deliver_to("a", 50).await;
    let deleted = [ids[0], ids[20], ids[49]];
    bench.cmd::<i64>(&format!("XDEL $stream {} {} {}", deleted[0], deleted[1], deleted[2])).await;
    let (mut claimed, mut lost, mut pages) = (Vec::new(), Vec::new(), 0);
    let mut next = Some(StreamId::MIN);
    while let Some(start) = next {
        let page = bench.stream.autoclaim(GROUP, "b", Duration::ZERO, start, 7).await.unwrap();
        assert!(page.entries.len() <= 7);
        claimed.extend(page.entries.into_iter().map(|entry| entry.id));
        lost.extend(page.deleted);
        next = page.next;
        pages += 1;
    }
    assert!(pages >= 7);
    let expected: Vec<_> = ids.iter().copied().filter(|id| !deleted.contains(id)).collect();
    assert_eq!((claimed, lost), (expected, deleted.to_vec()));
    assert!(bench.owners().await.iter().all(|(_, owner, deliveries)| owner == "b" && *deliveries == 2));
}
