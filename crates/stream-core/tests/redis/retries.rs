//! Retries: entries that failed wait at their owner, are leased meanwhile, and are not in the way of the others.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use stream_core::{ClaimRequest, Delivery, DrainReport, Handler, Outcome, StreamId, WorkerSettings};
use testkit::eventually;

use crate::support::{Bench, GROUP, MIN_IDLE, On, Running, SOON, Seen, quick, retry, text};

/// Nothing is retried while a test lasts.
const HOUR: Duration = Duration::from_hours(1);

fn after(after: Duration) -> Outcome {
    Outcome::Retry { reason: "not now".into(), after: Some(after) }
}

/// Fails every delivery, to be tried again in an hour.
fn failing(seen: &Seen) -> impl Handler + use<> {
    let seen = seen.clone();
    On(move |delivery: Delivery| {
        seen.note(&delivery);
        async { after(HOUR) }
    })
}

async fn parks(worker: &Running, count: u64) {
    eventually(SOON, "so many wait", async || {
        let parked = worker.metric("worker_parked", "");
        if parked == count { Ok(()) } else { Err(parked.to_string()) }
    })
    .await;
}

/// When each attempt of one entry began.
#[derive(Clone, Default)]
struct Times(Arc<Mutex<Vec<Instant>>>);

impl Times {
    fn gaps(&self) -> Vec<Duration> {
        let times = self.0.lock().expect("no panic while locked");
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

async fn gaps(settings: WorkerSettings, outcome: Outcome) -> Vec<Duration> {
    let bench = Bench::start().await;
    bench.append(1).await;
    let times = Times::default();
    let log = times.clone();
    let worker = bench.run(
        settings,
        On(move |_: Delivery| {
            log.0.lock().expect("no panic while locked").push(Instant::now());
            let outcome = outcome.clone();
            async move { outcome }
        }),
    );
    bench.settled().await;
    let letter = &bench.dead_letters().await[0];
    let told = ["_dl_deliveries", "_dl_reason", "_dl_error"].map(|name| text(letter, name));
    assert_eq!(told, ["5", "max_deliveries", "not now"]);
    assert_eq!(worker.metric("worker_deliveries_total", "\"retried\""), 4);
    assert_eq!(worker.metric("worker_claims_total", ""), 0, "a retry is not claimed from anybody");
    worker.drain().await;
    times.gaps()
}

#[tokio::test]
async fn each_wait_is_longer_than_the_one_before_up_to_the_cap() {
    let settings = WorkerSettings {
        retry_base: Duration::from_millis(200),
        retry_factor: 2.0,
        retry_cap: Duration::from_millis(500),
        retry_jitter: 0.0,
        // Retries are this consumer's own: where the operator claims, they go on all the same.
        claim_auto: false,
        ..quick("c")
    };
    let gaps = gaps(settings, retry("not now")).await;
    let least = [200, 400, 500, 500].map(Duration::from_millis);
    assert!(gaps.len() == 4 && gaps.iter().zip(least).all(|(gap, least)| *gap >= least), "{gaps:?}");
}

#[tokio::test]
async fn the_time_a_handler_asks_for_is_kept_to() {
    // Longer than the idle time after which others claim.
    let wanted = MIN_IDLE * 2;
    let gaps = gaps(quick("c"), after(wanted)).await;
    assert!(gaps.len() == 4 && gaps.iter().all(|gap| *gap >= wanted), "{gaps:?}");
}

#[tokio::test]
async fn entries_that_wait_are_leased_and_hold_no_slot() {
    let bench = Bench::with_group().await;
    let seen = Seen::default();
    let log = seen.clone();
    let settings = |name| WorkerSettings { concurrency: 2, max_in_flight: 10, ..quick(name) };
    let worker = bench.run(
        settings("c"),
        On(move |delivery: Delivery| {
            log.note(&delivery);
            async move {
                let n: u32 = text_of(&delivery, "n").parse().expect("a number");
                if n < 100 { after(HOUR) } else { Outcome::Ack }
            }
        }),
    );
    let waiting = bench.append(100).await;
    parks(&worker, 100).await;
    assert_eq!(worker.metric("worker_in_flight", ""), 0);
    let peer_seen = Seen::default();
    let peer = bench.run(settings("peer"), peer_seen.acking());
    // Others flow on although ten times as many wait as may be in flight.
    for n in 100..150 {
        bench.stream.append([("n", n.to_string())]).await.unwrap();
    }
    eventually(SOON, "the others are settled", async || (bench.rows().await.len() == 100).then_some(()))
        .await;
    let until = Instant::now() + MIN_IDLE * 5;
    let mut idle = Duration::ZERO;
    while Instant::now() < until {
        let rows = bench.rows().await;
        idle = rows.iter().map(|row| row.idle).max().unwrap().max(idle);
        assert!(rows.iter().all(|row| row.consumer == "c" && row.deliveries == 1));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(idle < MIN_IDLE, "{idle:?}");
    assert!(peer_seen.ids().iter().all(|id| !waiting.contains(id)));
    peer.drain().await;
    let report = worker.drain().await;
    assert_eq!(report, DrainReport { waiting: 100, ..DrainReport::default() });
    let rows = bench.rows().await;
    assert!(
        rows.iter().all(|row| row.deliveries == 1 && row.idle > Duration::from_mins(1)),
        "claimable at once, counted"
    );
}

fn text_of(delivery: &Delivery, field: &str) -> String {
    String::from_utf8_lossy(delivery.fields.get(field).expect("the field")).into_owned()
}

#[tokio::test]
async fn what_a_killed_owner_had_waiting_goes_to_a_peer_after_the_idle_time() {
    let bench = Bench::with_group().await;
    let ids = bench.append(20).await;
    let failed = Seen::default();
    let worker = bench.run(quick("a"), failing(&failed));
    parks(&worker, 20).await;
    worker.crash().await;
    let seen = Seen::default();
    let peer = bench.run(quick("b"), seen.acking());
    bench.settled().await;
    let mut counts = seen.counts();
    counts.sort();
    assert_eq!(counts, ids.iter().map(|id| (*id, 2)).collect::<Vec<_>>(), "a crash shortens the wait");
    peer.drain().await;
}

#[tokio::test]
async fn reading_and_claiming_stop_at_the_bound_and_go_on_below_it() {
    let bench = Bench::with_group().await;
    let left_behind = bench.append(1).await[0];
    bench.deliver_to("crashed", 1).await;
    bench.append(99).await;
    let (seen, down) = (Seen::default(), Arc::new(AtomicBool::new(true)));
    let (log, is_down) = (seen.clone(), Arc::clone(&down));
    let settings = WorkerSettings {
        max_parked: 20,
        max_in_flight: 8,
        // The one that was left behind is idle when it is made so, and not sooner.
        claim_min_idle: Duration::from_mins(1),
        retry_base: Duration::from_secs(2),
        retry_jitter: 0.0,
        ..quick("c")
    };
    let worker = bench.run(
        settings,
        On(move |delivery: Delivery| {
            log.note(&delivery);
            let outcome = if is_down.load(Ordering::SeqCst) { retry("down") } else { Outcome::Ack };
            async { outcome }
        }),
    );
    eventually(SOON, "the bound is reached", async || {
        (worker.metric("worker_parked", "") >= 20).then_some(())
    })
    .await;
    bench.set_row("crashed", left_behind, 1, HOUR).await;
    // Many times the intervals of reads and claims, in which nothing may happen.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let (parked, handled) = (worker.metric("worker_parked", ""), seen.all().len());
    assert!((20..=28).contains(&parked), "at most what was in flight comes on top: {parked}");
    assert_eq!(handled as u64, parked);
    down.store(false, Ordering::SeqCst);
    bench.settled().await;
    assert!(bench.dead_letters().await.is_empty());
    let mut ids = seen.ids();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100);
    assert_eq!(worker.metric("worker_parked", ""), 0);
    worker.drain().await;
}

#[tokio::test]
async fn an_outage_leaves_no_suspects_behind() {
    let bench = Bench::with_group().await;
    for _ in 0..2 {
        bench.append(500).await;
    }
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, highest) = (Arc::clone(&running), Arc::clone(&most));
    let attempts = Arc::new(Mutex::new(HashMap::<StreamId, u64>::new()));
    let log = Arc::clone(&attempts);
    let settings = WorkerSettings { max_parked: 2_000, retry_factor: 1.0, ..quick("c") };
    let worker = bench.run(
        settings,
        On(move |delivery: Delivery| {
            let (running, most) = (Arc::clone(&now), Arc::clone(&highest));
            *log.lock().expect("no panic while locked").entry(delivery.id).or_default() += 1;
            async move {
                let at_once = running.fetch_add(1, Ordering::SeqCst) + 1;
                if delivery.deliveries == 4 {
                    most.fetch_max(at_once, Ordering::SeqCst);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                if delivery.deliveries < 4 { retry("the service is down") } else { Outcome::Ack }
            }
        }),
    );
    bench.settled().await;
    assert!(bench.dead_letters().await.is_empty());
    let attempts: Vec<u64> = attempts.lock().expect("no panic while locked").values().copied().collect();
    assert!(attempts.len() == 1_000 && attempts.iter().all(|count| *count == 4));
    assert!(most.load(Ordering::SeqCst) > 20, "fourth attempts run side by side: {most:?}");
    worker.drain().await;
}

#[tokio::test]
async fn who_lost_an_entry_that_waited_forgets_it() {
    for retried in [Duration::from_millis(400), HOUR] {
        let bench = Bench::with_group().await;
        let ids = bench.append(2).await;
        let seen = Seen::default();
        let log = seen.clone();
        let worker = bench.run(
            quick("c"),
            On(move |delivery: Delivery| {
                log.note(&delivery);
                async move { after(retried) }
            }),
        );
        parks(&worker, 2).await;
        bench.set_row("somebody", ids[0], 2, Duration::ZERO).await;
        bench.stream.ack(GROUP, &ids[1..]).await.unwrap();
        eventually(SOON, "both are forgotten", async || {
            (worker.metric("worker_deliveries_total", "\"ownership_lost\"") == 2).then_some(())
        })
        .await;
        assert_eq!(worker.metric("worker_parked", ""), 0);
        assert_eq!(bench.owners().await, [(ids[0], "somebody".into(), 2)], "not stolen back");
        assert_eq!(seen.counts().len(), 2);
        assert!(bench.dead_letters().await.is_empty());
        worker.crash().await;
    }
}

#[tokio::test]
async fn an_entry_that_is_removed_while_it_waits_is_recorded_as_lost() {
    // By the renewal, and by the claim that is due before one.
    for (retried, min_idle) in [(HOUR, MIN_IDLE), (Duration::from_millis(300), Duration::from_mins(10))] {
        let bench = Bench::with_group().await;
        let ids = bench.append(2).await;
        let settings = WorkerSettings {
            claim_min_idle: min_idle,
            lease_renew_interval: min_idle / 5,
            lease_ttl: min_idle * 2,
            ..quick("c")
        };
        let worker = bench.run(settings, On(move |_: Delivery| async move { after(retried) }));
        parks(&worker, 2).await;
        bench.cmd::<i64>(&format!("XDEL $stream {}", ids[0])).await;
        eventually(SOON, "the loss is recorded", async || {
            (bench.dead().await == [(ids[0].to_string(), "payload_lost".into())]).then_some(())
        })
        .await;
        eventually(SOON, "it is counted", async || {
            (worker.metric("worker_deliveries_total", "\"dead_lettered\"") == 1).then_some(())
        })
        .await;
        assert!(bench.rows().await.iter().all(|row| row.id == ids[1]));
        worker.drain().await;
    }
}

#[tokio::test]
async fn a_group_that_goes_while_entries_wait_delivers_them_again() {
    let bench = Bench::with_group().await;
    let ids = bench.append(3).await;
    let (seen, down) = (Seen::default(), Arc::new(AtomicBool::new(true)));
    let (log, is_down) = (seen.clone(), Arc::clone(&down));
    let settings = WorkerSettings { max_parked: 3, ..quick("c") };
    let worker = bench.run(
        settings,
        On(move |delivery: Delivery| {
            log.note(&delivery);
            let outcome =
                if is_down.load(Ordering::SeqCst) { after(Duration::from_millis(300)) } else { Outcome::Ack };
            async { outcome }
        }),
    );
    parks(&worker, 3).await;
    down.store(false, Ordering::SeqCst);
    // At the bound nothing is read, so that the retries find out.
    bench.cmd::<i64>(&format!("XGROUP DESTROY $stream {GROUP}")).await;
    eventually(SOON, "the group is there again", async || {
        bench.stream.pending_summary(GROUP).await.map(drop)
    })
    .await;
    bench.settled().await;
    for id in ids {
        assert!(seen.counts().contains(&(id, 1)));
    }
    assert_eq!(worker.metric("worker_parked", ""), 0);
    worker.drain().await;
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_not_counted_twice() {
    let bench = Bench::with_group().await;
    let ids = bench.append(2).await;
    bench.deliver_to("c", 2).await;
    let request = ClaimRequest {
        group: GROUP,
        consumer: "c",
        min_idle: Duration::ZERO,
        after: None,
        page: 0,
        max_deliveries: 5,
        suspect_deliveries: 2,
        suspects_allowed: 9,
        owner: Some("c"),
        only: &[(ids[0], 1), (ids[1], 1)],
        again: true,
    };
    for _ in 0..3 {
        let claimed = bench.stream.claim_idle(&request).await.unwrap();
        let counts: Vec<_> =
            claimed.entries.iter().map(|claimed| (claimed.entry.id, claimed.deliveries)).collect();
        assert_eq!(counts, [(ids[0], 2), (ids[1], 2)]);
        assert!(claimed.entries.iter().all(|claimed| claimed.entry.fields.get("n").is_some()));
    }
    let fresh = ClaimRequest { again: false, ..request };
    assert!(
        bench.stream.claim_idle(&fresh).await.unwrap().entries.is_empty(),
        "delivered more often than expected"
    );
    bench.set_row("d", ids[0], 2, HOUR).await;
    let claimed = bench.stream.claim_idle(&request).await.unwrap();
    assert_eq!(claimed.entries.len(), 1, "somebody else's by now");
}
