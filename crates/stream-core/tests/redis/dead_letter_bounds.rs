//! Bounds on dead letters: the oldest go, they are counted, and only the active reaper drops them.

use std::time::Duration;

use stream_core::{BoundedDeadLetters, DeadLetterBounds, DeadLetters, DeadReason, ErrorKind, StreamId};

use crate::{
    dead_letter_pages::{fill, story},
    support::{Bench, GROUP},
};

const LEASE: &str = "me";

fn letters(bench: &Bench) -> DeadLetters {
    bench.stream.dead_letters(GROUP)
}

async fn elected() -> Bench {
    let bench = Bench::start().await;
    bench.cmd::<()>(&format!("SET {} {LEASE}", bench.stream.key().reaper_lease())).await;
    bench
}

async fn bound(bench: &Bench, max_entries: Option<u64>, max_age: Option<Duration>) -> BoundedDeadLetters {
    let bounds = DeadLetterBounds { max_entries, max_age };
    letters(bench).bound(LEASE, bounds).await.expect("it runs").expect("it is the active reaper")
}

/// Dead letters that died so many milliseconds ago, the oldest first.
async fn died(bench: &Bench, ages_ms: impl Iterator<Item = u64>) {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_millis() as u64;
    let key = bench.stream.key().dead_letters(GROUP);
    let fields = story(StreamId::new(1, 1), DeadReason::Poison, &[("n", "1".to_owned())]);
    let fields: Vec<_> = fields.iter().flat_map(|(a, b)| [a, b]).map(String::from_utf8_lossy).collect();
    let fields = fields.join(" ");
    for age in ages_ms {
        bench.cmd::<String>(&format!("XADD {key} {}-* {fields}", now - age)).await;
    }
}

#[tokio::test]
async fn the_oldest_beyond_the_number_are_dropped_and_counted() {
    let bench = elected().await;
    let ids = fill(&bench, 250).await;
    let nothing = bound(&bench, Some(250), None).await;
    assert_eq!(nothing, BoundedDeadLetters { dropped: 0, dropped_total: 0, more: false });
    assert_eq!(bound(&bench, Some(97), None).await.dropped, 153, "to the entry");
    assert_eq!(letters(&bench).ends().await.unwrap(), Some((ids[153], ids[249])));
    fill(&bench, 3).await;
    let more = bound(&bench, Some(97), None).await;
    assert_eq!(more, BoundedDeadLetters { dropped: 3, dropped_total: 156, more: false });
    assert_eq!(letters(&bench).dropped().await.unwrap(), 156);
}

#[tokio::test]
async fn what_died_too_long_ago_is_dropped_and_counted() {
    let bench = elected().await;
    let hour = 3_600_000;
    died(&bench, (0..250).map(|n| 10 * hour - n)).await;
    died(&bench, (0..20).map(|n| hour - n)).await;
    let first = bound(&bench, None, Some(Duration::from_hours(2))).await;
    let second = bound(&bench, None, Some(Duration::from_hours(2))).await;
    assert!(first.more && !second.more, "{first:?} {second:?}");
    assert_eq!((second.dropped_total, letters(&bench).count().await.unwrap()), (250, 20));
    let both = bound(&bench, Some(5), Some(Duration::from_hours(2))).await;
    assert_eq!((both.dropped, both.dropped_total), (15, 265));
    assert_eq!(bound(&bench, None, None).await.dropped_total, 265, "no bounds, nothing dropped");
}

#[tokio::test]
async fn one_call_drops_a_bounded_number() {
    let bench = elected().await;
    fill(&bench, 25_000).await;
    let calls = [(10_000, true), (10_000, true), (4_990, false), (0, false)];
    for (dropped, more) in calls {
        let bounded = bound(&bench, Some(10), None).await;
        assert_eq!((bounded.dropped, bounded.more), (dropped, more));
    }
    assert_eq!(letters(&bench).dropped().await.unwrap(), 24_990);
}

#[tokio::test]
async fn a_reaper_that_lost_its_lease_drops_nothing() {
    let bench = elected().await;
    fill(&bench, 10).await;
    let bounds = DeadLetterBounds { max_entries: Some(1), max_age: None };
    assert_eq!(letters(&bench).bound("somebody else", bounds).await.unwrap(), None);
    bench.cmd::<i64>(&format!("DEL {}", bench.stream.key().reaper_lease())).await;
    assert_eq!(letters(&bench).bound(LEASE, bounds).await.unwrap(), None);
    assert_eq!((letters(&bench).count().await.unwrap(), letters(&bench).dropped().await.unwrap()), (10, 0));
}

#[tokio::test]
async fn nothing_is_dropped_that_cannot_be_counted() {
    let bench = elected().await;
    fill(&bench, 10).await;
    let bounds = DeadLetterBounds { max_entries: Some(1), max_age: None };
    let counter = bench.stream.key().dead_letters_dropped(GROUP);
    for spoilt in ["SET $counter text", "SADD $counter x", "SET $counter 9999999999999999", "SET $counter -1"]
    {
        bench.cmd::<redis::Value>(&format!("DEL {counter}")).await;
        bench.cmd::<redis::Value>(&spoilt.replace("$counter", &counter)).await;
        let error = letters(&bench).bound(LEASE, bounds).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongType, "{spoilt}: {error}");
        assert_eq!(letters(&bench).count().await.unwrap(), 10);
    }
}

#[tokio::test]
async fn a_full_server_lets_them_be_dropped_and_counted() {
    let bench = elected().await;
    fill(&bench, 2_000).await;
    bench.cmd::<()>("CONFIG SET maxmemory 1000000").await;
    bench.stream.append([("a", "1")]).await.expect_err("the server is full");
    assert_eq!(bound(&bench, Some(10), None).await.dropped, 1_990);
    assert_eq!(letters(&bench).dropped().await.unwrap(), 1_990);
}
