//! Appends with a key: once however often they are sent, whatever happens in between.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use stream_core::{
    Appended, Dedup, DedupMark, DedupMemory, Error, ErrorKind, EventStream, MaxLen, NewEntry, Novelty,
    Precision, RangeQuery, StreamId,
};
use testkit::{RedisServer, eventually};

use crate::support::{Bench, SOON};

const HOUR: Duration = Duration::from_hours(1);

fn memory(bench: &Bench, window: Duration, keys_max: u64) -> DedupMemory {
    DedupMemory::new(bench.stream.key(), "test", window, keys_max)
}

/// A key that is spread over the shards as a digest would be.
fn mark(key: u64, body: u8) -> DedupMark {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&key.to_le_bytes());
    digest[16..24].copy_from_slice(&key.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    DedupMark { key: digest, fingerprint: [body; 16] }
}

fn entry(memory: &DedupMemory, key: u64, body: u8) -> NewEntry<'_, [(&'static str, String); 1]> {
    let dedup = Dedup { memory, entry: mark(key, body), request: None };
    NewEntry { fields: [("n", key.to_string())], dedup: Some(dedup) }
}

async fn send(stream: &EventStream, memory: &DedupMemory, keys: &[u64]) -> Vec<Result<Appended, Error>> {
    stream.append_batch_counted(keys.iter().map(|key| entry(memory, *key, 0))).await.results
}

async fn one(bench: &Bench, memory: &DedupMemory, key: u64, body: u8) -> Appended {
    let batch = bench.stream.append_batch_counted([entry(memory, key, body)]).await;
    batch.results.into_iter().next().expect("a result").expect("an answer")
}

/// What the entries say, in stream order.
async fn stored(bench: &Bench) -> Vec<u64> {
    let page = bench.stream.range(RangeQuery::default(), 100_000).await.expect("a page");
    let number = |fields: &stream_core::Fields| {
        std::str::from_utf8(fields.get("n").expect("n")).expect("text").parse().expect("a number")
    };
    page.entries.iter().map(|entry| number(&entry.fields)).collect()
}

#[tokio::test]
async fn a_repeated_append_gets_the_first_id_and_another_body_is_a_conflict() {
    let bench = Bench::start().await;
    let memory = memory(&bench, HOUR, 1_000);
    let first = one(&bench, &memory, 1, 0).await;
    assert_eq!((first.novelty, first.forgotten), (Novelty::New, 0));
    assert_eq!(one(&bench, &memory, 1, 0).await, Appended { novelty: Novelty::Repeated, ..first });
    assert_eq!(one(&bench, &memory, 1, 9).await, Appended { novelty: Novelty::Conflict, ..first });
    assert_eq!(one(&bench, &memory, 2, 0).await.novelty, Novelty::New);
    // Trimmed since, it is known all the same.
    bench.cmd::<u64>("XTRIM $stream MAXLEN 0").await;
    assert_eq!(one(&bench, &memory, 1, 0).await, Appended { novelty: Novelty::Repeated, ..first });
    assert_eq!(stored(&bench).await, [0; 0]);
}

#[tokio::test]
async fn appends_with_and_without_keys_share_a_pipeline_in_order() {
    let bench = Bench::start().await;
    let memory = memory(&bench, HOUR, 1_000);
    let plain = |n: u64| NewEntry { fields: [("n", n.to_string())], dedup: None };
    let entries = || [plain(1), entry(&memory, 2, 0), plain(3), entry(&memory, 4, 0)];
    let first = bench.stream.append_batch_counted(entries()).await;
    assert_eq!(first.length, Some(4));
    assert_eq!(stored(&bench).await, [1, 2, 3, 4]);
    let second = bench.stream.append_batch_counted(entries()).await;
    assert_eq!(second.length, Some(6));
    assert_eq!(stored(&bench).await, [1, 2, 3, 4, 1, 3]);
    let ids = |results: Vec<Result<Appended, Error>>| -> Vec<StreamId> {
        results.into_iter().map(|result| result.unwrap().id).collect()
    };
    let (first, second) = (ids(first.results), ids(second.results));
    assert_eq!((first[1], first[3]), (second[1], second[3]));
    assert!(first.is_sorted());
}

#[tokio::test]
async fn sixty_four_at_the_same_time_are_one_entry() {
    let bench = Bench::start().await;
    let memory = memory(&bench, HOUR, 1_000);
    let all = join_all((0..64).map(|_| one(&bench, &memory, 7, 0))).await;
    assert_eq!(all.iter().filter(|appended| appended.novelty == Novelty::New).count(), 1);
    assert_eq!(all.iter().map(|appended| appended.id).collect::<HashSet<_>>().len(), 1);
    assert_eq!(stored(&bench).await, [7]);
}

#[tokio::test]
async fn a_requests_key_keeps_other_requests_out_also_where_they_go_on_longer() {
    let bench = Bench::start().await;
    let memory = memory(&bench, HOUR, 1_000);
    let request = |keys: std::ops::Range<u64>, body| {
        let with_request = keys.map(|key| {
            let mut entry = entry(&memory, key, 0);
            let dedup = entry.dedup.as_mut().unwrap();
            dedup.request = Some(mark(100, body));
            entry
        });
        bench.stream.append_batch_counted(with_request.collect::<Vec<_>>())
    };
    let novelties = |results: Vec<Result<Appended, Error>>| -> Vec<Novelty> {
        results.into_iter().map(|result| result.unwrap().novelty).collect()
    };
    assert_eq!(novelties(request(0..2, 2).await.results), [Novelty::New; 2]);
    assert_eq!(novelties(request(0..3, 3).await.results), [Novelty::Conflict; 3]);
    // The gap of a request that was stored in part is filled.
    assert_eq!(novelties(request(1..3, 2).await.results), [Novelty::Repeated, Novelty::New]);
    assert_eq!(stored(&bench).await, [0, 1, 2]);
}

#[tokio::test]
async fn a_key_is_forgotten_after_its_window_and_not_before() {
    let bench = Bench::start().await;
    let window = Duration::from_millis(400);
    let memory = memory(&bench, window, 1_000);
    let first = one(&bench, &memory, 1, 0).await;
    let second = eventually(SOON, "the window has passed", async || {
        let appended = one(&bench, &memory, 1, 1).await;
        (appended.novelty == Novelty::New).then_some(appended)
    })
    .await;
    assert!(second.id.ms - first.id.ms >= window.as_millis() as u64, "{first:?} {second:?}");
    assert_eq!(second.forgotten, 0, "a key whose time is over is not missed");
    // Nothing is left behind.
    eventually(SOON, "the keys are gone", async || {
        let keys: Vec<String> = bench.cmd("KEYS *:idem:*").await;
        if keys.is_empty() { Ok(()) } else { Err(keys.join(" ")) }
    })
    .await;
}

#[tokio::test]
async fn beyond_the_bound_the_oldest_keys_are_forgotten_first_and_counted() {
    let bench = Bench::start().await;
    let memory = memory(&bench, HOUR, 8);
    let mut forgotten = 0;
    for key in 1..=20 {
        let appended = one(&bench, &memory, key, 0).await;
        assert_eq!(appended.novelty, Novelty::New);
        forgotten += appended.forgotten;
        assert!(remembered(&bench).await <= 8);
    }
    assert_eq!(forgotten, 20 - remembered(&bench).await);
    for key in 17..=20 {
        assert_eq!(one(&bench, &memory, key, 0).await.novelty, Novelty::Repeated, "{key}");
    }
    assert_eq!(
        one(&bench, &memory, 1, 0).await.novelty,
        Novelty::New,
        "forgotten, and the newest from now on"
    );
    assert_eq!(one(&bench, &memory, 1, 0).await.novelty, Novelty::Repeated);
}

/// How many keys there are in Redis.
async fn remembered(bench: &Bench) -> u64 {
    let keys: Vec<String> = bench.cmd("KEYS *:idem:*").await;
    let mut sum = 0;
    for key in keys {
        sum += bench.cmd::<u64>(&format!("HLEN {key}")).await;
    }
    sum
}

#[tokio::test]
async fn scripts_flushed_under_load_lose_and_repeat_nothing() {
    let bench = Bench::start().await;
    let memory = memory(&bench, HOUR, 1_000_000);
    let done = AtomicBool::new(false);
    let flushing = async {
        let mut flushes = 0;
        while !done.load(Ordering::Relaxed) {
            bench.cmd::<()>("SCRIPT FLUSH").await;
            flushes += 1;
        }
        flushes
    };
    let load = async {
        let clients = join_all((0..8_u64).map(|client| {
            let (bench, memory) = (&bench, &memory);
            async move {
                for round in 0..20 {
                    let first = client * 10_000 + round * 100;
                    let keys: Vec<u64> = (first..first + 50).collect();
                    for result in send(&bench.stream, memory, &keys).await {
                        assert_eq!(result.unwrap().novelty, Novelty::New);
                    }
                }
            }
        }));
        clients.await;
        done.store(true, Ordering::Relaxed);
    };
    let (flushes, ()) = tokio::join!(flushing, load);
    assert!(flushes > 0);
    let stored = stored(&bench).await;
    assert_eq!(stored.len(), 8 * 20 * 50);
    assert_eq!(stored.iter().collect::<HashSet<_>>().len(), stored.len());
}

#[tokio::test]
async fn a_full_server_refuses_before_anything_is_written() {
    let bench = Bench::start().await;
    let memory = memory(&bench, HOUR, 8);
    for key in 1..=4 {
        one(&bench, &memory, key, 0).await;
    }
    bench.cmd::<()>("CONFIG SET maxmemory 1").await;
    let results = send(&bench.stream, &memory, &[4, 5]).await;
    assert_eq!(results[0].as_ref().unwrap().novelty, Novelty::Repeated, "a replay needs no memory");
    let error = results[1].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.may_have_been_applied()), (ErrorKind::OutOfMemory, false));
    assert_eq!(remembered(&bench).await, 4);
    bench.cmd::<()>("CONFIG SET maxmemory 0").await;
    assert_eq!(one(&bench, &memory, 5, 0).await.novelty, Novelty::New);
    assert_eq!(stored(&bench).await, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn what_holds_something_else_is_refused_before_anything_is_written() {
    let bench = Bench::start().await;
    let memory = memory(&bench, HOUR, 8);
    let shard = bench.stream.key().with_suffix("idem:test:0");
    for key in [shard.clone(), format!("{shard}:old")] {
        bench.cmd::<()>(&format!("SET {key} text")).await;
        let error = send(&bench.stream, &memory, &[1]).await.remove(0).unwrap_err();
        assert_eq!((error.kind(), error.may_have_been_applied()), (ErrorKind::WrongType, false));
        bench.cmd::<u64>(&format!("DEL {key}")).await;
    }
    bench.cmd::<()>("SET $stream text").await;
    let error = send(&bench.stream, &memory, &[1]).await.remove(0).unwrap_err();
    assert_eq!((error.kind(), remembered(&bench).await), (ErrorKind::WrongType, 0));
}

#[tokio::test]
async fn a_capped_stream_stays_capped() {
    let bench = Bench::start().await;
    let memory = memory(&bench, HOUR, 1_000);
    let capped = bench.stream.clone().with_max_len(MaxLen { entries: 10, precision: Precision::Exact });
    let batch = capped.append_batch_counted((0..25).map(|key| entry(&memory, key, 0))).await;
    assert_eq!(batch.length, Some(10));
    assert_eq!(stored(&bench).await, (15..25).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_server_killed_under_load_has_each_entry_once() {
    let mut bench = Bench::on(RedisServer::builder().append_only(true).start().await).await;
    let memory = memory(&bench, HOUR, 1_000_000);
    let (stream, clients) = (bench.stream.clone(), 8_u64);
    let done = AtomicBool::new(false);
    let load = async {
        let each = (0..clients).map(|client| {
            let (stream, memory) = (stream.clone(), memory.clone());
            async move {
                for round in 0..40 {
                    let first = client * 10_000 + round * 100;
                    let keys: Vec<u64> = (first..first + 10).collect();
                    eventually(SOON, "all of them are stored", async || {
                        let results = send(&stream, &memory, &keys).await;
                        results.into_iter().collect::<Result<Vec<_>, _>>()
                    })
                    .await;
                }
            }
        });
        join_all(each).await;
        done.store(true, Ordering::Relaxed);
    };
    let killing = async {
        for kills in 0..3 {
            let more = length(&bench).await + 50;
            eventually(SOON, "the load goes on", async || {
                (length(&bench).await > more || done.load(Ordering::Relaxed)).then_some(())
            })
            .await;
            if done.load(Ordering::Relaxed) {
                return kills;
            }
            bench.server.kill();
            bench.server.restart().await;
            bench.reconnect().await;
        }
        3
    };
    let ((), kills) = tokio::join!(load, killing);
    assert!(kills > 0, "it was over before the first kill");
    let stored = stored(&bench).await;
    assert_eq!(stored.iter().collect::<HashSet<_>>().len(), 8 * 40 * 10);
    assert_eq!(stored.len(), 8 * 40 * 10, "some are there twice");
}

async fn length(bench: &Bench) -> u64 {
    bench.cmd("XLEN $stream").await
}
