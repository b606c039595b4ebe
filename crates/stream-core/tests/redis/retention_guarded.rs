//! Guarded retention: whom it waits for, for how long, and that only the active reaper trims.

use std::time::Duration;

use stream_core::{
    ConsumerCounters, GroupRetention, Holder, NameLease, RegisteredConsumer, Retained, RetentionRule,
    Standing, StartAt, StreamId,
};

use crate::{
    retention::first,
    support::{Bench, GROUP, SOON},
};

/// The value of the reaper's lease in these tests.
pub(crate) const LEASE: &str = "the-active-reaper";

/// Trims take whole nodes; with nodes of one entry they are exact.
pub(crate) async fn bench_with_small_nodes() -> Bench {
    let bench = Bench::with_group().await;
    bench.cmd::<()>("CONFIG SET stream-node-max-entries 1").await;
    hold_lease(&bench).await;
    bench
}

pub(crate) async fn hold_lease(bench: &Bench) {
    let lease = bench.stream.key().reaper_lease();
    bench.cmd::<()>(&format!("SET {lease} {LEASE}")).await;
}

fn rule(cutoff: StreamId, required: &[&str]) -> RetentionRule {
    RetentionRule {
        cutoff,
        guarded: true,
        required: required.iter().map(|name| (*name).to_owned()).collect(),
        stale_after: Duration::from_hours(24),
    }
}

async fn retain(bench: &Bench, rule: &RetentionRule) -> Retained {
    let registered = bench.stream.registered_consumers().await.expect("the registry");
    let retained = bench.stream.retain(rule, &registered, LEASE).await.expect("Redis answers");
    retained.expect("the lease is ours")
}

#[track_caller]
fn group<'a>(retained: &'a Retained, name: &str) -> &'a GroupRetention {
    let found = retained.groups.iter().find(|group| group.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {retained:?}"))
}

/// Lets the groups look as if they had been silent for so long.
async fn silent_for(bench: &Bench, name: &str, silent: Duration) {
    let key = bench.stream.key().retention_groups();
    let noted: String = bench.cmd(&format!("HGET {key} {name}")).await;
    let parts: Vec<&str> = noted.split(' ').collect();
    let [id, since, looked] = parts[..] else { panic!("{noted}") };
    let since = before(since, silent);
    note(bench, name, &format!("{id} {since} {looked}")).await;
}

/// Lets it look as if nobody had looked at the group for so long.
async fn unseen_for(bench: &Bench, name: &str, unseen: Duration) {
    let key = bench.stream.key().retention_groups();
    let noted: String = bench.cmd(&format!("HGET {key} {name}")).await;
    let parts: Vec<&str> = noted.split(' ').collect();
    let [id, since, looked] = parts[..] else { panic!("{noted}") };
    note(bench, name, &format!("{id} {} {}", before(since, unseen), before(looked, unseen))).await;
}

fn before(unix_ms: &str, time: Duration) -> u64 {
    unix_ms.parse::<u64>().expect("a time") - time.as_millis() as u64
}

/// Overwrites what retention knows of a group.
async fn note(bench: &Bench, name: &str, text: &str) {
    let mut cmd = redis::cmd("HSET");
    cmd.arg(bench.stream.key().retention_groups()).arg(name).arg(text);
    cmd.query_async::<i64>(&mut bench.server.connection().await).await.expect("HSET");
}

#[tokio::test]
async fn it_stops_at_the_oldest_entry_that_is_not_acked() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(10).await;
    bench.deliver_to("a", 8).await;
    bench.stream.ack(GROUP, &[ids[0], ids[1], ids[3]]).await.unwrap();
    let rule = rule(ids[9], &[GROUP]);
    let trimmed = retain(&bench, &rule).await;
    assert_eq!((trimmed.removed, trimmed.limit, trimmed.held_by.as_deref()), (2, ids[2], Some(GROUP)));
    assert_eq!(first(&bench).await, Some(ids[2]));
    bench.stream.ack(GROUP, &ids).await.unwrap();
    // Now the undelivered hold it.
    let trimmed = retain(&bench, &rule).await;
    assert_eq!((trimmed.limit, trimmed.held_by.as_deref()), (ids[8], Some(GROUP)));
    assert_eq!(first(&bench).await, Some(ids[8]));
    assert_eq!(group(&trimmed, GROUP).lost, 0);
}

#[tokio::test]
async fn it_goes_by_age_once_everybody_is_done() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(10).await;
    bench.deliver_to("a", 10).await;
    bench.stream.ack(GROUP, &ids).await.unwrap();
    let trimmed = retain(&bench, &rule(ids[4], &[GROUP])).await;
    assert_eq!((trimmed.removed, trimmed.limit, trimmed.held_by), (4, ids[4], None));
    assert_eq!(retain(&bench, &rule(ids[4], &[GROUP])).await.removed, 0);
}

#[tokio::test]
async fn it_waits_for_the_slowest_and_for_a_required_group_that_is_missing() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(5).await;
    bench.stream.ensure_group("slow", StartAt::After(ids[1])).await.unwrap();
    bench.deliver_to("a", 5).await;
    bench.stream.ack(GROUP, &ids).await.unwrap();
    let trimmed = retain(&bench, &rule(ids[4], &["missing", GROUP])).await;
    assert_eq!((trimmed.removed, trimmed.held_by.as_deref()), (0, Some("missing")));
    // Whoever is not required is waited for as well.
    let trimmed = retain(&bench, &rule(ids[4], &[GROUP])).await;
    assert_eq!((trimmed.removed, trimmed.held_by.as_deref()), (2, Some("slow")));
    assert_eq!(first(&bench).await, Some(ids[2]));
}

#[tokio::test]
async fn nothing_is_harmless() {
    let bench = Bench::start().await;
    hold_lease(&bench).await;
    let trimmed = retain(&bench, &rule(StreamId::new(9, 9), &[GROUP])).await;
    assert_eq!((trimmed.removed, trimmed.limit, trimmed.held_by), (0, StreamId::MIN, None));
    assert_eq!(bench.cmd::<i64>("EXISTS $stream").await, 0);
}

#[tokio::test]
async fn a_call_is_bounded_and_can_be_repeated() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(250).await;
    bench.deliver_to("a", 250).await;
    bench.stream.ack(GROUP, &ids).await.unwrap();
    let trim = async || retain(&bench, &rule(ids[220], &[GROUP])).await.removed;
    assert_eq!([trim().await, trim().await, trim().await, trim().await], [100, 100, 20, 0]);
}

#[tokio::test]
async fn a_group_that_needs_nothing_old_holds_nothing() {
    let bench = Bench::with_group().await;
    hold_lease(&bench).await;
    let ids = bench.append(5).await;
    bench.deliver_to("a", 5).await;
    bench.stream.ack(GROUP, &ids[..4]).await.unwrap();
    let later = ids[4].next().unwrap();
    let held_by = async || retain(&bench, &rule(later, &[GROUP])).await.held_by;
    assert_eq!(held_by().await.as_deref(), Some(GROUP), "the newest entry is pending");
    bench.stream.ack(GROUP, &ids[4..]).await.unwrap();
    assert_eq!(held_by().await, None, "a node that is not full keeps them, not the group");
}

#[tokio::test]
async fn only_the_holder_of_the_lease_trims() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(3).await;
    let age = RetentionRule { guarded: false, ..rule(ids[2], &[]) };
    assert_eq!(bench.stream.retain(&age, &[], "a former reaper").await.unwrap(), None);
    assert_eq!(bench.stream.cap_length(0, "a former reaper").await.unwrap(), None);
    assert_eq!(first(&bench).await, Some(ids[0]));
    let kept = [bench.stream.key().retention_groups(), bench.stream.key().retention_lost()];
    assert_eq!(bench.cmd::<i64>(&format!("EXISTS {} {}", kept[0], kept[1])).await, 0, "nothing was noted");
    // Looking is anybody's.
    let outlook = bench.stream.retention_outlook(&rule(ids[2], &[GROUP]), &[]).await.unwrap();
    assert_eq!((outlook.removed, outlook.held_by.as_deref()), (0, Some(GROUP)));
    assert_eq!(bench.cmd::<i64>(&format!("EXISTS {} {}", kept[0], kept[1])).await, 0, "nothing was noted");
}

#[tokio::test]
async fn another_group_is_waited_for_until_it_has_been_silent_for_too_long() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(10).await;
    let day = Duration::from_hours(24);
    let almost_a_day = day.saturating_sub(SOON);
    bench.stream.ensure_group("third", StartAt::After(ids[2])).await.unwrap();
    bench.deliver_to("a", 10).await;
    bench.stream.ack(GROUP, &ids).await.unwrap();
    let rule = rule(ids[8], &[GROUP]);
    // Seen for the first time, it has its full time.
    let seen = retain(&bench, &rule).await;
    assert_eq!((seen.removed, seen.held_by.as_deref()), (3, Some("third")));
    assert_eq!(group(&seen, "third").standing, Standing::Waiting);
    assert!(group(&seen, "third").silent < SOON);
    assert!(rule.until_trim(group(&seen, "third")).unwrap() > almost_a_day);
    assert_eq!(rule.until_trim(group(&seen, GROUP)), None);

    // The state is in Redis: whoever is the active reaper goes on with it.
    silent_for(&bench, "third", almost_a_day).await;
    let waited = retain(&bench, &rule).await;
    assert_eq!((waited.removed, group(&waited, "third").standing), (0, Standing::Waiting));
    assert!(group(&waited, "third").silent >= almost_a_day);
    // A sign of life, and it starts anew.
    bench.cmd::<redis::Value>("XREADGROUP GROUP third x COUNT 1 STREAMS $stream >").await;
    assert!(group(&retain(&bench, &rule).await, "third").silent < SOON);
    // Reading without getting anything is none, nor is acking.
    silent_for(&bench, "third", day + SOON).await;
    bench.stream.ack("third", &[ids[3]]).await.unwrap();
    let stale = retain(&bench, &rule).await;
    assert_eq!((group(&stale, "third").standing, stale.held_by.as_deref()), (Standing::Stale, None));
    // To what it needs first, and what goes from there is lost to it.
    assert_eq!((stale.removed, group(&stale, "third").lost), (1, 0));
    let stale = retain(&bench, &rule).await;
    assert_eq!((stale.removed, group(&stale, "third").lost), (4, 4));
    assert_eq!(first(&bench).await, Some(ids[8]));
    // It comes back: waited for again, its losses are remembered.
    bench.cmd::<redis::Value>("XREADGROUP GROUP third x COUNT 1 STREAMS $stream >").await;
    let back = retain(&bench, &rule).await;
    assert_eq!((group(&back, "third").standing, group(&back, "third").lost), (Standing::Waiting, 4));
    // A group that is gone leaves nothing behind.
    bench.cmd::<i64>("XGROUP DESTROY $stream third").await;
    retain(&bench, &rule).await;
    for key in [bench.stream.key().retention_groups(), bench.stream.key().retention_lost()] {
        assert_eq!(bench.cmd::<i64>(&format!("HEXISTS {key} third")).await, 0);
    }
}

#[tokio::test]
async fn time_in_which_no_reaper_looked_is_no_silence() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(3).await;
    let rule = rule(ids[2], &[]);
    retain(&bench, &rule).await;
    silent_for(&bench, GROUP, Duration::from_hours(20)).await;
    // Every reaper was away for a week: nobody could have warned of it.
    unseen_for(&bench, GROUP, Duration::from_hours(24 * 7)).await;
    let found = retain(&bench, &rule).await;
    assert_eq!((found.removed, group(&found, GROUP).standing), (0, Standing::Waiting));
    let silent = group(&found, GROUP).silent;
    assert!((Duration::from_hours(20)..Duration::from_hours(20) + SOON).contains(&silent), "{silent:?}");
    // A change of the active one takes seconds, which count.
    unseen_for(&bench, GROUP, Duration::from_secs(30)).await;
    assert!(group(&retain(&bench, &rule).await, GROUP).silent >= silent + Duration::from_secs(30));
}

#[tokio::test]
async fn a_required_group_never_goes_stale() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(3).await;
    let rule = rule(ids[2], &[GROUP]);
    retain(&bench, &rule).await;
    silent_for(&bench, GROUP, Duration::from_hours(24 * 365)).await;
    let trimmed = retain(&bench, &rule).await;
    assert_eq!((trimmed.removed, trimmed.held_by.as_deref()), (0, Some(GROUP)));
    assert_eq!(group(&trimmed, GROUP).standing, Standing::Required);
}

#[tokio::test]
async fn a_held_name_is_a_sign_of_life() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(3).await;
    let rule = rule(ids[2], &[]);
    let ttl = Duration::from_secs(30);
    let holder = Holder::current("here", "");
    let name = NameLease::reserve(&bench.stream, GROUP, "a", &holder, ttl).await.unwrap();
    retain(&bench, &rule).await;
    let long = Duration::from_hours(48);
    silent_for(&bench, GROUP, long).await;
    let trimmed = retain(&bench, &rule).await;
    assert_eq!(
        (trimmed.removed, trimmed.held_by.as_deref()),
        (0, Some(GROUP)),
        "its consumer waits for work"
    );
    // It ends without its entry in the registry: the lease tells.
    name.release(false).await.unwrap();
    silent_for(&bench, GROUP, long).await;
    assert_eq!(group(&retain(&bench, &rule).await, GROUP).standing, Standing::Stale);
}

#[tokio::test]
async fn a_group_that_was_destroyed_under_its_consumers_is_waited_for() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(5).await;
    let holder = Holder::current("here", "");
    let ttl = Duration::from_secs(30);
    bench.stream.ensure_group("third", StartAt::After(ids[1])).await.unwrap();
    let name = NameLease::reserve(&bench.stream, "third", "a", &holder, ttl).await.unwrap();
    bench.deliver_to("a", 5).await;
    bench.stream.ack(GROUP, &ids).await.unwrap();
    // They will recreate it where it was; until then nobody knows where that is.
    bench.cmd::<i64>("XGROUP DESTROY $stream third").await;
    let rule = rule(ids[4], &[GROUP]);
    let found = retain(&bench, &rule).await;
    assert_eq!((found.removed, found.held_by.as_deref()), (0, Some("third")));
    // By age alone nobody is waited for.
    let age = RetentionRule { guarded: false, cutoff: ids[1], ..rule.clone() };
    assert_eq!(retain(&bench, &age).await.removed, 1);
    bench.stream.ensure_group("third", StartAt::After(ids[1])).await.unwrap();
    assert_eq!((retain(&bench, &rule).await.removed, first(&bench).await), (1, Some(ids[2])));
    // Without a consumer it is a group that nobody wants any more.
    bench.cmd::<i64>("XGROUP DESTROY $stream third").await;
    name.release(false).await.unwrap();
    assert_eq!((retain(&bench, &rule).await.removed, first(&bench).await), (2, Some(ids[4])));
}

#[tokio::test]
async fn silence_of_a_group_that_has_nothing_to_do_proves_nothing() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(2).await;
    bench.deliver_to("a", 2).await;
    bench.stream.ack(GROUP, &ids).await.unwrap();
    let later = rule(StreamId::MAX, &[]);
    retain(&bench, &later).await;
    silent_for(&bench, GROUP, Duration::from_hours(48)).await;
    assert!(group(&retain(&bench, &later).await, GROUP).silent < SOON);
    let ids = bench.append(1).await;
    let trimmed = retain(&bench, &later).await;
    assert_eq!((group(&trimmed, GROUP).standing, trimmed.limit), (Standing::Waiting, ids[0]));
}

#[tokio::test]
async fn a_group_for_which_nothing_is_left_is_stale_all_the_same() {
    let bench = bench_with_small_nodes().await;
    bench.append(3).await;
    let later = rule(StreamId::MAX, &[]);
    retain(&bench, &later).await;
    silent_for(&bench, GROUP, Duration::from_hours(25)).await;
    let trimmed = retain(&bench, &later).await;
    assert_eq!((trimmed.removed, group(&trimmed, GROUP).lost), (3, 3));
    let ids = bench.append(1).await;
    let after = retain(&bench, &later).await;
    assert_eq!((group(&after, GROUP).standing, after.limit > ids[0]), (Standing::Stale, true));
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_shorten_the_wait() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(2).await;
    let rule = rule(ids[1], &[]);
    retain(&bench, &rule).await;
    for noted in ["0-0 9999999999999 9999999999999", "0-0 1", "rubbish", ""] {
        note(&bench, GROUP, noted).await;
        let seen = retain(&bench, &rule).await;
        assert_eq!(group(&seen, GROUP).standing, Standing::Waiting);
        assert!(group(&seen, GROUP).silent < SOON);
    }
}

#[tokio::test]
async fn spoilt_state_is_refused_before_anything_is_trimmed() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(3).await;
    let age = RetentionRule { guarded: false, ..rule(ids[2], &[]) };
    for key in [bench.stream.key().retention_groups(), bench.stream.key().retention_lost()] {
        bench.cmd::<()>(&format!("SET {key} text")).await;
        let error = bench.stream.retain(&age, &[], LEASE).await.unwrap_err();
        assert_eq!(error.code(), Some("WRONGTYPE"), "{error}");
        bench.cmd::<i64>(&format!("DEL {key}")).await;
    }
    assert_eq!(first(&bench).await, Some(ids[0]));
}

#[tokio::test]
async fn a_full_server_can_be_trimmed() {
    let bench = Bench::with_group().await;
    hold_lease(&bench).await;
    let ids = bench.append(300).await;
    bench.deliver_to("a", 300).await;
    bench.stream.ack(GROUP, &ids).await.unwrap();
    bench.cmd::<()>("CONFIG SET maxmemory 1").await;
    assert_eq!(retain(&bench, &rule(ids[250], &[GROUP])).await.removed, 200);
    let capped = bench.stream.cap_length(0, LEASE).await.unwrap().unwrap();
    assert_eq!(capped.removed, 100);
}

#[tokio::test]
async fn a_registered_consumer_of_another_group_is_no_sign() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(3).await;
    bench.cmd::<()>(&format!("SET {} someone", bench.stream.key().consumer_lease("other", "b"))).await;
    retain(&bench, &rule(ids[2], &[])).await;
    silent_for(&bench, GROUP, Duration::from_hours(25)).await;
    let other = RegisteredConsumer {
        group: "other".to_owned(),
        consumer: "b".to_owned(),
        holder: None,
        counters: ConsumerCounters::default(),
    };
    let retained = bench.stream.retain(&rule(ids[2], &[]), &[other], LEASE).await.unwrap().unwrap();
    assert_eq!(group(&retained, GROUP).standing, Standing::Stale);
}

#[tokio::test]
async fn a_rebuild_is_waited_for_until_its_hold_ends() {
    let bench = bench_with_small_nodes().await;
    let ids = bench.append(10).await;
    bench.deliver_to("a", 10).await;
    bench.stream.ack(GROUP, &ids).await.unwrap();
    let holds = bench.stream.key().retention_holds();
    let hold = async |after: StreamId, until: u64| {
        let mut cmd = redis::cmd("HSET");
        cmd.arg(&holds).arg("rebuild:g").arg(format!("{after} {until}"));
        cmd.query_async::<i64>(&mut bench.server.connection().await).await.unwrap();
    };
    // Replayed up to the fourth entry.
    hold(ids[3], 1 << 50).await;
    for guarded in [true, false] {
        let rule = RetentionRule { guarded, ..rule(ids[8], &[GROUP]) };
        let trimmed = retain(&bench, &rule).await;
        assert_eq!((trimmed.limit, trimmed.held_by.as_deref()), (ids[3], Some("rebuild:g")));
    }
    assert_eq!(first(&bench).await, Some(ids[3]));
    // Nobody went on with it for too long.
    hold(ids[3], 1).await;
    let trimmed = retain(&bench, &rule(ids[8], &[GROUP])).await;
    assert_eq!((trimmed.limit, trimmed.held_by), (ids[8], None));
    assert_eq!(first(&bench).await, Some(ids[8]));
}
