//! Levers moved while something else is under way: what waits, what is claimed, a suspect, another lever, a lost name.

use std::{sync::Arc, time::Duration};

use stream_core::{
    ClaimNow, ConsumerState, ControlError, Delivery, Handler, Outcome, WorkerControl, WorkerSettings,
};
use testkit::eventually;
use tokio::{sync::Semaphore, time::timeout};

use crate::support::{Bench, GROUP, On, Running, SOON, Seen, quick};

const HOUR: Duration = Duration::from_hours(1);

/// Settings for several consumers that claim only when told to, and never lose a lease to each other.
fn calm(consumers: &[&str]) -> WorkerSettings {
    let consumers = consumers.iter().map(ToString::to_string).collect();
    WorkerSettings { consumers, claim_auto: false, claim_min_idle: HOUR / 2, ..quick("") }
}

async fn states(control: &WorkerControl, wanted: &[(&str, ConsumerState)]) {
    eventually(SOON, "the consumers are in these states", async || {
        let status = control.status().await.map_err(|error| error.to_string())?;
        let has = |(name, state): &(&str, ConsumerState)| {
            status.consumers.iter().any(|it| it.name == *name && it.state == *state)
        };
        if wanted.iter().all(has) { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
}

/// All of them run, and only the first reads.
async fn only_the_first_reads(worker: &Running, names: &[&str]) {
    let wanted: Vec<_> = names.iter().map(|name| (*name, ConsumerState::Running)).collect();
    states(&worker.control, &wanted).await;
    for name in &names[1..] {
        worker.control.pause(Some(name)).await.expect("it pauses");
    }
}

/// A handler that notes its deliveries, waits for a permit of the gate, and acks.
fn gated(seen: &Seen, gate: &Arc<Semaphore>) -> impl Handler + use<> {
    let (seen, gate) = (seen.clone(), Arc::clone(gate));
    On(move |delivery: Delivery| {
        seen.note(&delivery);
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.expect("an open gate").forget();
            Outcome::Ack
        }
    })
}

/// A handler that lets everything wait for an hour.
fn parking(seen: &Seen) -> impl Handler + use<> {
    let seen = seen.clone();
    On(move |delivery: Delivery| {
        seen.note(&delivery);
        async { Outcome::Retry { reason: "not now".into(), after: Some(HOUR) } }
    })
}

/// Another process takes the name, and renews its lease for longer than the test lasts.
async fn take_the_name(bench: &Bench, worker: &Running, name: &str) {
    let lease = bench.stream.key().consumer_lease(GROUP, name);
    bench.cmd::<()>(&format!("SET {lease} somebody-else PX 3600000")).await;
    states(&worker.control, &[(name, ConsumerState::NameLost)]).await;
}

#[tokio::test]
async fn two_removals_at_once_do_not_wait_for_each_other() {
    let bench = Bench::with_group().await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let worker = bench.run(calm(&["a", "b"]), gated(&seen, &gate));
    only_the_first_reads(&worker, &["a", "b"]).await;
    bench.append(1).await;
    seen.reaches(1).await;
    let both = async {
        tokio::join!(worker.control.remove_consumer("a", None), worker.control.remove_consumer("b", None))
    };
    let (a, b) = timeout(SOON, both).await.expect("both are answered");
    // The one that holds an entry has nobody left to give it to.
    assert!(matches!(&a, Err(ControlError::NoPeer { pending: 1, .. })), "{a:?}");
    assert!(b.as_ref().is_ok_and(|removed| removed.deleted), "{b:?}");
    gate.add_permits(10);
    bench.append(2).await;
    bench.settled().await;
    // Whoever is left records the group's position.
    eventually(SOON, "the position is recorded", async || {
        let (newest, position) = (bench.stream.info().await.ok()?.last_generated_id, bench.key("pos:g"));
        let recorded: Option<String> = bench.cmd(&format!("GET {position}")).await;
        (recorded == Some(newest.to_string())).then_some(())
    })
    .await;
    worker.drain().await;
}

#[tokio::test]
async fn a_removal_in_favour_of_one_that_leaves_is_refused() {
    let bench = Bench::with_group().await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let worker = bench.run(calm(&["a", "b", "c"]), gated(&seen, &gate));
    only_the_first_reads(&worker, &["a", "b", "c"]).await;
    bench.append(1).await;
    seen.reaches(1).await;
    let leaving = tokio::spawn({
        let control = worker.control.clone();
        async move { control.remove_consumer("a", Some("c")).await }
    });
    states(&worker.control, &[("a", ConsumerState::Leaving)]).await;
    let refused = timeout(Duration::from_secs(2), worker.control.remove_consumer("b", Some("a"))).await;
    let refused = refused.expect("answered at once, not when it has left");
    assert!(matches!(&refused, Err(ControlError::NotAPeer(name)) if name == "a"), "{refused:?}");
    gate.add_permits(1);
    assert!(leaving.await.unwrap().unwrap().deleted);
    worker.drain().await;
}

#[tokio::test]
async fn a_handover_does_not_wait_for_room_that_a_claim_waits_for() {
    let bench = Bench::with_group().await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let settings = WorkerSettings { concurrency: 1, max_in_flight: 4, claim_auto: true, ..calm(&["a", "b"]) };
    let worker = bench.run(settings, gated(&seen, &gate));
    only_the_first_reads(&worker, &["a", "b"]).await;
    bench.append(10).await;
    eventually(SOON, "a is full", async || {
        let status = worker.control.status().await.ok()?;
        (status.consumers[0].in_flight == 4).then_some(())
    })
    .await;
    // Several claim intervals: a claim waits for room by now.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let moved = timeout(Duration::from_secs(5), worker.control.handover("a", "b")).await;
    let moved = moved.expect("at once, though nothing is finished").unwrap();
    assert_eq!((moved.moved, moved.kept), (3, 1));
    gate.add_permits(20);
    worker.control.resume(Some("b")).await.unwrap();
    bench.settled().await;
    let counts = seen.counts();
    assert!(counts.len() == 10 && counts.iter().all(|(_, count)| *count == 1), "{counts:?}");
    worker.drain().await;
}

#[tokio::test]
async fn what_is_claimed_while_a_handover_moves_rows_is_not_moved_with_them() {
    let bench = Bench::with_group().await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let settings = WorkerSettings { concurrency: 1_000, ..calm(&["a", "b"]) };
    let worker = bench.run(settings, gated(&seen, &gate));
    only_the_first_reads(&worker, &["a", "b"]).await;
    worker.control.pause(None).await.unwrap();
    for _ in 0..20 {
        bench.append(1_000).await;
    }
    bench.deliver_to("a", 19_000).await;
    bench.deliver_to("gone", 1_000).await;
    for row in &bench.rows().await[19_000..] {
        bench.set_row("gone", row.id, 1, HOUR).await;
    }
    bench.cmd::<()>("CONFIG RESETSTAT").await;
    let moving = tokio::spawn({
        let control = worker.control.clone();
        async move { control.handover("a", "b").await }
    });
    eventually(SOON, "the handover looks for what it is to move", async || {
        bench.cmd::<String>("INFO commandstats").await.contains("cmdstat_xpending").then_some(())
    })
    .await;
    let report =
        worker.control.claim("a", ClaimNow::default(), Duration::from_secs(3)).await.expect("a claim");
    assert_eq!(moving.await.unwrap().unwrap().moved, 19_000);
    assert!(!report.claimed.is_empty());
    let owners = bench.owners().await;
    let strayed = report
        .claimed
        .iter()
        .filter(|id| owners.iter().any(|(row, owner, _)| row == *id && owner != "a"))
        .count();
    assert_eq!(strayed, 0, "of {} that a claimed and runs", report.claimed.len());
    worker.crash().await;
}

#[tokio::test]
async fn who_lost_the_name_gives_nothing_away_that_is_the_new_holders() {
    let bench = Bench::with_group().await;
    let seen = Seen::default();
    let worker = bench.run(calm(&["a", "b"]), parking(&seen));
    only_the_first_reads(&worker, &["a", "b"]).await;
    take_the_name(&bench, &worker, "a").await;
    // The other process reads under the name.
    let ids = bench.append(3).await;
    bench.deliver_to("a", 3).await;
    let expected: Vec<_> = ids.iter().map(|id| (*id, "a".to_owned(), 1)).collect();

    let error = worker.control.handover("a", "b").await.unwrap_err();
    assert!(matches!(&error, ControlError::Busy { consumer, .. } if consumer == "a"), "{error}");
    assert_eq!(bench.owners().await, expected);
    bench.cmd::<i64>(&format!("HSET {} {GROUP}/a somebody-else", bench.stream.key().workers())).await;
    let removed = worker.control.remove_consumer("a", Some("b")).await.unwrap();
    assert_eq!((removed.handed_over, removed.deleted), (0, false));
    assert_eq!(bench.owners().await, expected);
    let registered: String = bench.cmd(&format!("HGET {} {GROUP}/a", bench.stream.key().workers())).await;
    assert_eq!(registered, "somebody-else");
    worker.drain().await;
}

#[tokio::test]
async fn the_heir_of_a_removed_consumer_is_one_that_has_its_name() {
    let bench = Bench::with_group().await;
    let seen = Seen::default();
    let worker = bench.run(calm(&["b", "a", "c"]), parking(&seen));
    only_the_first_reads(&worker, &["b", "a", "c"]).await;
    bench.append(1).await;
    seen.reaches(1).await;
    take_the_name(&bench, &worker, "a").await;
    let removed = worker.control.remove_consumer("b", None).await.unwrap();
    assert_eq!((removed.handed_over_to.as_deref(), removed.deleted), (Some("c"), true));
    worker.drain().await;
}

#[tokio::test]
async fn what_waits_for_another_attempt_is_not_counted_while_a_suspect_runs() {
    let bench = Bench::with_group().await;
    let suspect = bench.append(1).await[0];
    bench.deliver_to("gone", 1).await;
    bench.set_row("gone", suspect, 3, Duration::ZERO).await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let (log, permits) = (seen.clone(), Arc::clone(&gate));
    let settings = WorkerSettings { claim_auto: true, ..calm(&["a", "b"]) };
    let worker = bench.run(
        settings,
        On(move |delivery: Delivery| {
            log.note(&delivery);
            let permits = Arc::clone(&permits);
            async move {
                match delivery.deliveries {
                    1 => Outcome::Retry { reason: "once".into(), after: Some(Duration::from_secs(1)) },
                    2 => Outcome::Ack,
                    _ => {
                        permits.acquire().await.expect("an open gate").forget();
                        Outcome::Ack
                    }
                }
            }
        }),
    );
    let failing = bench.append(4).await;
    seen.reaches(4).await;
    bench.set_row("gone", suspect, 3, HOUR).await;
    seen.reaches(5).await;
    assert_eq!(seen.counts()[4], (suspect, 4), "it runs before any of them is due");
    // They are due, but nobody may start them: should the suspect kill the process, none was delivered once more.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let owners = bench.owners().await;
    let waiting: Vec<_> = owners.iter().filter(|(id, ..)| failing.contains(id)).map(|row| row.2).collect();
    assert_eq!(waiting, [1; 4]);
    gate.add_permits(1);
    bench.settled().await;
    assert_eq!(seen.all().len(), 9);
    worker.drain().await;
}
