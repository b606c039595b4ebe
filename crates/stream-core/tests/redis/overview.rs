//! A whole stream at one look, and what is done with consumers that nobody is and with a demo that begins anew.

use std::time::Duration;

use stream_core::{
    ConsumerCounters, DeletedDead, Holder, Lag, NameLease, Overview, OverviewBounds, StartAt, StreamId,
};

use crate::support::{Bench, GROUP};

const ALL: OverviewBounds = OverviewBounds { newest: 10, groups: 10, consumers: 10 };
const TTL: Duration = Duration::from_mins(1);

async fn hold(bench: &Bench, name: &str) -> NameLease {
    let holder = Holder::current("host", "10.0.0.1:9102");
    NameLease::reserve(&bench.stream, GROUP, name, &holder, TTL).await.expect("Redis answers")
}

#[tokio::test]
async fn nothing_is_seen_as_nothing() {
    let bench = Bench::start().await;
    assert_eq!(bench.stream.overview(ALL).await.unwrap(), Overview::default());
}

#[tokio::test]
async fn one_look_tells_what_many_questions_would() {
    let bench = Bench::with_group().await;
    bench.stream.ensure_group("other", StartAt::Beginning).await.unwrap();
    let ids = bench.append(30).await;
    let name = hold(&bench, "a").await;
    bench.deliver_to("a", 3).await;
    bench.deliver_to("b", 2).await;
    let done = ConsumerCounters { acked: 7, processed: 8, ..ConsumerCounters::default() };
    name.renew(done).await.unwrap();
    bench.cmd::<String>(&format!("XADD {} * a b", bench.stream.key().dead_letters(GROUP))).await;
    // A hole ahead of the group: the server's own lag is worth nothing.
    bench.cmd::<i64>(&format!("XDEL $stream {}", ids[10])).await;

    let seen = bench.stream.overview(ALL).await.unwrap();
    assert_eq!(seen.info, bench.stream.info().await.unwrap());
    let newest: Vec<StreamId> = seen.newest.iter().map(|entry| entry.id).collect();
    assert_eq!(newest, ids[20..].iter().rev().copied().collect::<Vec<_>>());
    let group = seen.groups.iter().find(|group| group.info.name == GROUP).unwrap();
    assert_eq!(group.info, bench.stream.groups().await.unwrap()[0]);
    assert_eq!((group.lag, group.has_totals, group.totals), (Lag::Known(24), true, done));
    assert_eq!((group.oldest_pending, group.oldest_undelivered), (Some(ids[0]), Some(ids[5])));
    assert_eq!((group.dead_letters, group.redriving, group.consumers_left_out), (1, 0, 0));
    let pending: Vec<_> = group.consumers.iter().map(|it| (it.name.as_str(), it.pending)).collect();
    assert_eq!(pending, [("a", 3), ("b", 2)]);
    let other = seen.groups.iter().find(|group| group.info.name == "other").unwrap();
    assert_eq!((other.lag, other.has_totals, other.oldest_pending), (Lag::Known(29), false, None));
    let [(registered, alive)] = &seen.registered[..] else { panic!("{:?}", seen.registered) };
    assert_eq!((registered.consumer.as_str(), registered.counters, *alive), ("a", done, true));

    name.release(false).await.unwrap();
    let tight = OverviewBounds { newest: 1, groups: 1, consumers: 1 };
    let cut = bench.stream.overview(tight).await.unwrap();
    assert_eq!((cut.newest.len(), cut.groups.len(), cut.groups_left_out), (1, 1, 1));
    assert_eq!((cut.groups[0].consumers.len(), cut.groups[0].consumers_left_out), (1, 1));
    assert!(!cut.registered[0].1, "the name was released");
}

#[tokio::test]
async fn entries_are_got_by_their_ids_at_once() {
    let bench = Bench::start().await;
    let ids = bench.append(3).await;
    let found = bench.stream.get_all(&[ids[2], StreamId::new(1, 1), ids[0]]).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|entry| entry.map(|entry| entry.id)).collect();
    assert_eq!(found, [Some(ids[2]), None, Some(ids[0])]);
    assert_eq!(bench.stream.get_all(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn a_consumer_is_deleted_as_dead_only_if_it_is_and_has_nothing() {
    let bench = Bench::with_group().await;
    bench.append(1).await;
    let delete = async || bench.stream.delete_dead_consumer(GROUP, "a").await.unwrap();
    let name = hold(&bench, "a").await;
    bench.deliver_to("a", 1).await;
    assert_eq!(delete().await, DeletedDead::Alive);
    name.release(false).await.unwrap();
    assert_eq!(delete().await, DeletedDead::Pending);
    assert_eq!(bench.rows().await.len(), 1, "nothing was destroyed");
    let ids: Vec<StreamId> = bench.rows().await.iter().map(|row| row.id).collect();
    bench.stream.ack(GROUP, &ids).await.unwrap();

    // What was sent back to it counts as well.
    let redrive = bench.stream.redrive(GROUP);
    redrive.ensure_group(GROUP, StartAt::Beginning).await.unwrap();
    redrive.append([("a", "b")]).await.unwrap();
    let row = redrive.read_now(GROUP, "a", 1).await.unwrap()[0].id;
    assert_eq!(delete().await, DeletedDead::Pending);
    redrive.ack(GROUP, &[row]).await.unwrap();
    assert_eq!(delete().await, DeletedDead::Deleted);
    assert!(bench.stream.consumers(GROUP).await.unwrap().is_empty());
    assert!(redrive.consumers(GROUP).await.unwrap().is_empty());
    assert!(bench.stream.registered_consumers().await.unwrap().is_empty());
    assert_eq!(delete().await, DeletedDead::Deleted, "of one that never was, nothing is left");
}

#[tokio::test]
async fn a_reset_keeps_what_running_workers_stand_on_and_totals_begin_at_zero() {
    let bench = Bench::with_group().await;
    let key = bench.stream.key().clone();
    bench.append(3).await;
    let name = hold(&bench, "a").await;
    let before = ConsumerCounters { acked: 5, processed: 5, ..ConsumerCounters::default() };
    name.renew(before).await.unwrap();
    bench.cmd::<i64>(&format!("HSET {} epoch 4 live 2", key.projection(GROUP))).await;
    for suffix in ["dlq:g", "pos:g", "analytics:totals", "gen:g:2:analytics:totals", "projection:g:applied"] {
        bench.cmd::<String>(&format!("SET {} 1", key.with_suffix(suffix))).await;
    }
    bench.stream.reset().await.unwrap();

    let base = key.with_suffix("*");
    let mut left: Vec<String> = bench.cmd(&format!("KEYS {}", base.replace('{', "\\{"))).await;
    left.sort_unstable();
    let mut kept = [key.consumer_lease(GROUP, "a"), key.projection(GROUP), key.workers()];
    kept.sort_unstable();
    assert_eq!(left, kept);
    assert_eq!(bench.stream.length().await.unwrap(), 0);
    assert!(bench.stream.groups().await.unwrap().is_empty());
    let state: Vec<(String, u64)> = bench.cmd(&format!("HGETALL {}", key.projection(GROUP))).await;
    let [(field, epoch)] = &state[..] else { panic!("{state:?}") };
    assert!(field == "epoch" && *epoch > 4, "no worker may take it for one that it knows: {state:?}");

    bench.stream.ensure_group(GROUP, StartAt::Beginning).await.unwrap();
    let after = ConsumerCounters { acked: 7, processed: 8, ..ConsumerCounters::default() };
    assert!(name.renew(after).await.unwrap().is_held());
    let totals = ConsumerCounters { acked: 2, processed: 3, ..ConsumerCounters::default() };
    assert_eq!(bench.stream.group_totals(GROUP).await.unwrap(), totals, "only what was done since");
}
