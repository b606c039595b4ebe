//! Listing dead letters: filters, both directions, and pages that are bounded whatever fits.

use stream_core::{
    DeadLetterFilter, DeadLetterPage, DeadLetterQuery, DeadLetters, DeadReason, Direction, ErrorKind, Fields,
    RangeQuery, StreamId,
};

use crate::support::{Bench, GROUP};

/// The story of a dead letter with its original.
pub(crate) fn story(entry_id: StreamId, reason: DeadReason, original: &[(&str, String)]) -> Fields {
    let told = [
        ("_dl_id", entry_id.to_string()),
        ("_dl_group", GROUP.to_owned()),
        ("_dl_consumer", "a".to_owned()),
        ("_dl_deliveries", "5".to_owned()),
        ("_dl_reason", reason.label().to_owned()),
        ("_dl_error", "no".to_owned()),
        ("_dl_time_ms", "1716998413541".to_owned()),
    ];
    told.iter().chain(original).map(|(name, value)| (name.as_bytes().to_vec(), value.clone())).collect()
}

/// So many dead letters, the n-th of the entry `n-1`: of every tenth the reason is `rejected`, else `poison`; the
/// type of every hundredth is `rare`, else `common`; two in a row belong to one order.
pub(crate) async fn fill(bench: &Bench, count: u64) -> Vec<StreamId> {
    let dead = bench.dead_letter_stream();
    let mut ids = Vec::new();
    let all: Vec<Fields> = (1..=count)
        .map(|n| {
            let reason = if n % 10 == 0 { DeadReason::Rejected } else { DeadReason::Poison };
            let kind = if n % 100 == 0 { "rare" } else { "common" };
            let original = [("type", kind.to_owned()), ("order_id", format!("o-{}", (n - 1) / 2))];
            story(StreamId::new(n, 1), reason, &original)
        })
        .collect();
    for batch in all.chunks(200) {
        let stored = dead.append_batch(batch.iter().map(Fields::iter)).await;
        ids.extend(stored.into_iter().map(|id| id.expect("stored")));
    }
    ids
}

fn letters(bench: &Bench) -> DeadLetters {
    bench.stream.dead_letters(GROUP)
}

fn with_field(name: &str, value: &str) -> DeadLetterFilter {
    DeadLetterFilter { fields: vec![(name.to_owned(), value.to_owned())], ..DeadLetterFilter::default() }
}

/// The n of every dead letter of a page.
fn numbers(page: &DeadLetterPage) -> Vec<u64> {
    page.letters.iter().map(|letter| letter.entry_id.ms).collect()
}

#[tokio::test]
async fn filters_pick_by_reason_type_order_entry_and_time() {
    let bench = Bench::start().await;
    let ids = fill(&bench, 300).await;
    let reason = DeadLetterFilter { reason: Some(DeadReason::Rejected), ..DeadLetterFilter::default() };
    let entry_id = Some(StreamId::new(7, 1));
    let entry = DeadLetterFilter { entry_id, ..DeadLetterFilter::default() };
    let both = DeadLetterFilter { reason: Some(DeadReason::Poison), ..with_field("type", "rare") };
    let expected: [(DeadLetterFilter, Vec<u64>); 6] = [
        (reason, (1..=30).map(|n| n * 10).collect()),
        (with_field("type", "rare"), vec![100, 200, 300]),
        (with_field("order_id", "o-3"), vec![7, 8]),
        (with_field("no_such", ""), vec![]),
        (entry, vec![7]),
        (both, vec![]),
    ];
    for (filter, numbers_expected) in expected {
        let query = DeadLetterQuery { filter, ..DeadLetterQuery::default() };
        let page = letters(&bench).page(&query).await.unwrap();
        assert_eq!((numbers(&page), page.scanned, page.next), (numbers_expected, 300, None), "{query:?}");
    }
    let range = RangeQuery { start: ids[9], end: ids[11], direction: Direction::Backward };
    let page = letters(&bench).page(&DeadLetterQuery { range, ..DeadLetterQuery::default() }).await.unwrap();
    assert_eq!(numbers(&page), [12, 11, 10]);
}

#[tokio::test]
async fn pages_cover_five_thousand_once_in_either_direction() {
    let bench = Bench::start().await;
    fill(&bench, 5_000).await;
    assert_eq!(letters(&bench).count().await.unwrap(), 5_000);
    for direction in [Direction::Forward, Direction::Backward] {
        let mut rest = Some(RangeQuery { direction, ..RangeQuery::default() });
        let (mut seen, mut pages) = (Vec::new(), 0);
        while let Some(range) = rest {
            let query = DeadLetterQuery { range, limit: 700, ..DeadLetterQuery::default() };
            let page = letters(&bench).page(&query).await.unwrap();
            assert!(page.letters.len() <= 700 && !page.stopped_early);
            seen.extend(numbers(&page));
            pages += 1;
            rest = page.next;
        }
        if direction == Direction::Backward {
            seen.reverse();
        }
        assert_eq!((seen, pages), ((1..=5_000).collect(), 8));
    }
}

#[tokio::test]
async fn a_page_looks_at_no_more_than_it_may_and_says_where_to_go_on() {
    let bench = Bench::start().await;
    fill(&bench, 5_000).await;
    let filter = with_field("order_id", "o-2499");
    let (mut rest, mut found, mut pages) = (Some(RangeQuery::default()), Vec::new(), 0);
    while let Some(range) = rest {
        let query = DeadLetterQuery { filter: filter.clone(), range, limit: 10, scan_max: 1_000 };
        let page = letters(&bench).page(&query).await.unwrap();
        assert!(page.scanned <= 1_000, "{}", page.scanned);
        assert_eq!(page.stopped_early, page.next.is_some());
        found.extend(numbers(&page));
        pages += 1;
        assert!(pages <= 6, "it ends");
        rest = page.next;
    }
    assert_eq!(found, [4_999, 5_000]);
    assert!(pages >= 5, "{pages}");
}

#[tokio::test]
async fn what_somebody_else_wrote_is_shown_and_fails_nothing() {
    let bench = Bench::start().await;
    fill(&bench, 2).await;
    bench.dead_letter_stream().append([(&b"\xff"[..], &b"\0"[..])]).await.unwrap();
    fill(&bench, 1).await;
    let page = letters(&bench).page(&DeadLetterQuery::default()).await.unwrap();
    assert_eq!((numbers(&page), page.unreadable.len()), (vec![1, 2, 1], 1));
    assert_eq!(page.unreadable[0].problem, "its field 1 is not _dl_id");
    assert_eq!(page.unreadable[0].fields.get("\0"), None);
    let query = DeadLetterQuery { filter: with_field("type", "common"), ..DeadLetterQuery::default() };
    let page = letters(&bench).page(&query).await.unwrap();
    assert_eq!((page.letters.len(), page.unreadable.len(), page.scanned), (3, 0, 4));
}

#[tokio::test]
async fn a_page_of_large_ones_is_bounded_by_its_bytes() {
    let bench = Bench::start().await;
    let dead = bench.dead_letter_stream();
    for n in 0..30 {
        let original = [("blob", "x".repeat(1 << 20))];
        dead.append(story(StreamId::new(n + 1, 1), DeadReason::Poison, &original).iter()).await.unwrap();
    }
    let first = letters(&bench).page(&DeadLetterQuery::default()).await.unwrap();
    assert!(first.stopped_early && (16..=17).contains(&first.letters.len()), "{}", first.letters.len());
    let rest = DeadLetterQuery { range: first.next.unwrap(), ..DeadLetterQuery::default() };
    let second = letters(&bench).page(&rest).await.unwrap();
    assert_eq!(first.letters.len() + second.letters.len(), 30);
    assert_eq!(second.next, None);
}

#[tokio::test]
async fn none_at_all_is_an_empty_page_and_another_type_an_error() {
    let bench = Bench::start().await;
    assert_eq!(letters(&bench).page(&DeadLetterQuery::default()).await.unwrap(), DeadLetterPage::default());
    assert_eq!(letters(&bench).ends().await.unwrap(), None);
    bench.cmd::<()>(&format!("SET {} text", bench.stream.key().dead_letters(GROUP))).await;
    let error = letters(&bench).page(&DeadLetterQuery::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongType);
}
