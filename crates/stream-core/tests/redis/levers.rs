//! The levers of a running worker: pause, claim now, add, remove, hand over, drop.

use std::{sync::Arc, time::Duration};

use stream_core::{
    ClaimNow, ConsumerState, ConsumersReady, ControlError, Delivery, Handler, Outcome, StreamId,
    WorkerControl, WorkerSettings,
};
use testkit::eventually;
use tokio::sync::Semaphore;

use crate::support::{Bench, GROUP, MIN_IDLE, On, Running, SOON, Seen, quick, retry};

const HOUR: Duration = Duration::from_hours(1);

/// Settings for several consumers that claim only when told to.
fn by_hand(consumers: &[&str]) -> WorkerSettings {
    let consumers = consumers.iter().map(ToString::to_string).collect();
    WorkerSettings { consumers, claim_auto: false, fault_injection: true, ..quick("") }
}

async fn running(control: &WorkerControl, count: usize) {
    eventually(SOON, "the consumers run", async || {
        let status = control.status().await.map_err(|error| error.to_string())?;
        let running = status.consumers.iter().filter(|it| it.state == ConsumerState::Running).count();
        if running == count { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
}

async fn names(bench: &Bench) -> Vec<String> {
    let consumers = bench.stream.consumers(GROUP).await.expect("XINFO CONSUMERS");
    consumers.into_iter().map(|consumer| consumer.name).collect()
}

/// A handler that waits for permits of the gate, then acks.
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

/// Entries delivered to a consumer that is gone, an hour ago.
async fn left_behind(bench: &Bench, count: usize) -> Vec<StreamId> {
    let ids = bench.append(count).await;
    bench.deliver_to("gone", count).await;
    for id in &ids {
        bench.set_row("gone", *id, 1, HOUR).await;
    }
    ids
}

#[tokio::test]
async fn a_paused_worker_finishes_what_it_has_and_reads_nothing() {
    let bench = Bench::with_group().await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let worker = bench.run(by_hand(&["a", "b"]), gated(&seen, &gate));
    running(&worker.control, 2).await;
    bench.append(2).await;
    seen.reaches(2).await;
    worker.control.pause(None).await.unwrap();
    gate.add_permits(100);
    bench.settled().await;

    let ids = bench.append(3).await;
    let read_up_to = bench.stream.groups().await.unwrap()[0].last_delivered_id;
    assert!(read_up_to < ids[0], "no read was under way any more");
    let status = worker.control.status().await.unwrap();
    assert!(status.consumers.iter().all(|it| it.paused && it.state == ConsumerState::Running), "{status:?}");
    assert_eq!(bench.rows().await, [], "three are there, and nobody reads them");

    worker.control.resume(Some("b")).await.unwrap();
    bench.settled().await;
    assert!(seen.all()[2..].iter().all(|delivery| &*delivery.consumer == "b"));
    worker.control.resume(None).await.unwrap();
    assert!(
        matches!(worker.control.pause(Some("c")).await, Err(ControlError::UnknownConsumer(name)) if name == "c")
    );
    worker.drain().await;
}

#[tokio::test]
async fn automatic_claiming_is_turned_on_and_off() {
    let bench = Bench::with_group().await;
    let seen = Seen::default();
    let worker = bench.run(by_hand(&["a"]), seen.acking());
    running(&worker.control, 1).await;
    worker.control.pause(None).await.unwrap();
    let ids = left_behind(&bench, 3).await;
    worker.control.set_claiming(true).await.unwrap();
    worker.control.resume(None).await.unwrap();
    bench.settled().await;
    assert_eq!(seen.counts(), ids.iter().map(|id| (*id, 2)).collect::<Vec<_>>());
    worker.control.set_claiming(false).await.unwrap();
    // A claim may have been under way: it is over when the next entry has gone through.
    bench.append(1).await;
    seen.reaches(4).await;
    assert!(!worker.control.status().await.unwrap().claim_auto);
    worker.control.pause(None).await.unwrap();
    left_behind(&bench, 2).await;
    let report = worker.control.claim("a", ClaimNow::default(), SOON).await.unwrap();
    assert_eq!(report.processed, 2, "nobody else has claimed them");
    worker.drain().await;
}

#[tokio::test]
async fn a_claim_covers_all_that_is_idle_and_tells_what_came_of_it() {
    let bench = Bench::with_group().await;
    let seen = Seen::default();
    let log = seen.clone();
    let handler = On(move |delivery: Delivery| {
        log.note(&delivery);
        let fails = delivery.fields.get("n") == Some(b"7") && delivery.deliveries == 2;
        async move { if fails { retry("seven") } else { Outcome::Ack } }
    });
    let worker = bench.run(by_hand(&["a", "b"]), handler);
    running(&worker.control, 2).await;
    worker.control.pause(None).await.unwrap();
    let ids = left_behind(&bench, 450).await;
    bench.cmd::<i64>(&format!("XDEL $stream {} {}", ids[3], ids[300])).await;
    bench.set_row("gone", ids[9], 5, HOUR).await;
    bench.set_row("fresh", ids[20], 1, Duration::ZERO).await;
    // Suspects run one at a time, and are part of it all the same.
    for suspect in &ids[40..43] {
        bench.set_row("gone", *suspect, 3, HOUR).await;
    }

    let hour = ClaimNow { min_idle: Some(HOUR / 2), from: None };
    let report = worker.control.claim("b", hour.clone(), SOON).await.unwrap();
    assert_eq!((report.claimed.len(), report.processed, report.retried), (446, 445, 1), "{report:?}");
    assert_eq!((&report.deleted[..], &report.dead_lettered[..]), (&[ids[3], ids[300]][..], &[ids[9]][..]));
    assert_eq!(report.unfinished, 0);
    assert!(seen.all().iter().all(|delivery| &*delivery.consumer == "b"));
    // What waits for another attempt is tried again though the worker is paused.
    let counters = eventually(SOON, "the seventh succeeds at last", async || {
        let status = worker.control.status().await.map_err(|error| error.to_string())?;
        let counters = status.consumers[1].counters;
        if counters.acked == 446 { Ok(counters) } else { Err(format!("{counters:?}")) }
    })
    .await;
    assert_eq!((counters.claimed, counters.processed), (446, 447));
    assert_eq!((counters.retried, counters.dead_lettered), (1, 3));

    let nobody = ClaimNow { from: Some("nobody".to_owned()), ..hour };
    assert_eq!(worker.control.claim("a", nobody, SOON).await.unwrap().claimed, []);
    let short = ClaimNow { min_idle: Some(MIN_IDLE / 3), from: None };
    let error = worker.control.claim("a", short, SOON).await.unwrap_err();
    assert!(matches!(error, ControlError::MinIdleTooShort { least, .. } if least == MIN_IDLE / 2));
    worker.drain().await;
}

#[tokio::test]
async fn a_claim_that_takes_too_long_is_told_as_unfinished() {
    let bench = Bench::with_group().await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(1)));
    let worker = bench.run(by_hand(&["a"]), gated(&seen, &gate));
    running(&worker.control, 1).await;
    worker.control.pause(None).await.unwrap();
    left_behind(&bench, 3).await;
    let report = worker.control.claim("a", ClaimNow::default(), Duration::from_millis(500)).await.unwrap();
    assert_eq!((report.claimed.len(), report.processed, report.unfinished), (3, 1, 2));
    gate.add_permits(2);
    bench.settled().await;
    assert_eq!(seen.all().len(), 3);
    worker.drain().await;
}

#[tokio::test]
async fn of_two_adds_of_one_name_one_succeeds() {
    let bench = Bench::with_group().await;
    let seen = Seen::default();
    let (built, _) = bench.worker(by_hand(&["a"]));
    let (control, mut ready) = (built.control(), built.consumers_ready());
    let shutdown = tokio_util::sync::CancellationToken::new();
    let task = tokio::spawn(built.run_handler(seen.acking(), shutdown.clone()));
    running(&control, 1).await;
    let (one, two) = tokio::join!(control.add_consumer("b"), control.add_consumer("b"));
    let refused = [&one, &two].into_iter().filter_map(|it| it.as_ref().err()).collect::<Vec<_>>();
    assert!(matches!(refused[..], [ControlError::Exists(name)] if name == "b"), "{one:?} {two:?}");
    assert_eq!(refused[0].to_string(), "the consumer \"b\" already exists");
    assert_eq!(names(&bench).await, ["a", "b"], "listed before its first delivery");
    assert_eq!(*ready.borrow_and_update(), ConsumersReady { ready: 2, wanted: 2 });
    assert!(matches!(control.add_consumer("a").await, Err(ControlError::Exists(_))));
    for name in ["", "a b", "a/b"] {
        assert!(matches!(control.add_consumer(name).await, Err(ControlError::InvalidName(_))), "{name:?}");
    }

    // Both read: one that waits at its gate leaves the entry to the other.
    control.pause(Some("a")).await.unwrap();
    bench.append(5).await;
    bench.settled().await;
    assert!(seen.all().iter().all(|delivery| &*delivery.consumer == "b"));

    // A deliberately removed consumer is not missed.
    control.remove_consumer("b", None).await.unwrap();
    assert_eq!(*ready.borrow_and_update(), ConsumersReady { ready: 1, wanted: 1 });
    assert_eq!(names(&bench).await, ["a"]);
    shutdown.cancel();
    task.await.unwrap().unwrap();
    assert!(matches!(control.status().await, Err(ControlError::NotRunning)));
}

#[tokio::test]
async fn a_name_that_another_process_holds_cannot_be_added() {
    let bench = Bench::with_group().await;
    let seen = Seen::default();
    let holder =
        bench.run(WorkerSettings { advertise: "10.0.0.1:9102".to_owned(), ..by_hand(&["b"]) }, seen.acking());
    let worker = bench.run(by_hand(&["a"]), seen.acking());
    running(&holder.control, 1).await;
    running(&worker.control, 1).await;
    let error = worker.control.add_consumer("b").await.unwrap_err();
    assert!(
        matches!(error, ControlError::Taken(_)) && error.to_string().contains("10.0.0.1:9102"),
        "{error}"
    );
    // The worker goes on as it was, and takes the name when it is free.
    running(&worker.control, 1).await;
    holder.drain().await;
    worker.control.add_consumer("b").await.unwrap();
    running(&worker.control, 2).await;
    worker.drain().await;
}

/// Two workers, as two processes would be: `a` here, `b` there, both at work on nothing but what they were given.
async fn two_workers(bench: &Bench, here: &Seen, there: &Seen, gate: &Arc<Semaphore>) -> (Running, Running) {
    let settings = WorkerSettings { concurrency: 1, ..by_hand(&["a"]) };
    let a = bench.run(settings, gated(here, gate));
    running(&a.control, 1).await;
    let b = bench.run(by_hand(&["b"]), there.acking());
    running(&b.control, 1).await;
    b.control.pause(None).await.expect("b pauses");
    (a, b)
}

#[tokio::test]
async fn a_removed_consumer_hands_over_to_a_peer_in_another_process() {
    let bench = Bench::with_group().await;
    let (here, there, gate) = (Seen::default(), Seen::default(), Arc::new(Semaphore::new(0)));
    let (a, b) = two_workers(&bench, &here, &there, &gate).await;
    // `b` reads again once `a` has it all: it takes up what it is given, without claiming by itself.
    let ids = bench.append(6).await;
    eventually(SOON, "a has all", async || (bench.rows().await.len() == 6).then_some(())).await;
    a.control.drop_next("a", 2).await.unwrap();
    let dropped = bench.append(2).await;
    eventually(SOON, "and has dropped two", async || {
        let status = a.control.status().await.map_err(|error| error.to_string())?;
        if status.consumers[0].dropped == 2 { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
    b.control.resume(None).await.unwrap();
    let removed = tokio::spawn({
        let control = a.control.clone();
        async move { control.remove_consumer("a", Some("b")).await }
    });
    eventually(SOON, "a leaves", async || {
        let state = a.control.status().await.ok()?.consumers[0].state;
        (state == ConsumerState::Leaving).then_some(())
    })
    .await;
    gate.add_permits(1);
    let removed = removed.await.unwrap().unwrap();
    assert_eq!(
        (removed.handed_over_to.as_deref(), removed.handed_over, removed.deleted),
        (Some("b"), 7, true)
    );
    bench.settled().await;
    assert_eq!(here.ids(), [ids[0]], "what ran was finished where it ran");
    let mut counts = there.counts();
    counts.sort();
    let unstarted = ids[1..].iter().map(|id| (*id, 1));
    let expected: Vec<_> = unstarted.chain(dropped.iter().map(|id| (*id, 2))).collect();
    assert_eq!(counts, expected, "never started: not counted; dropped: counted");
    assert_eq!(names(&bench).await, ["b"]);
    // The worker stays, and its crew can grow again.
    a.control.add_consumer("c").await.unwrap();
    a.drain().await;
    b.drain().await;
}

#[tokio::test]
async fn a_consumer_with_entries_is_not_removed_without_a_peer() {
    let bench = Bench::with_group().await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let worker = bench.run(by_hand(&["a"]), gated(&seen, &gate));
    running(&worker.control, 1).await;
    bench.append(2).await;
    seen.reaches(2).await;
    let error = worker.control.remove_consumer("a", None).await.unwrap_err();
    assert!(matches!(&error, ControlError::NoPeer { pending: 2, .. }), "{error}");
    for nobody in ["a", "b"] {
        let error = worker.control.remove_consumer("a", Some(nobody)).await.unwrap_err();
        assert!(matches!(&error, ControlError::NotAPeer(name) if name == nobody), "{error}");
    }
    gate.add_permits(10);
    bench.settled().await;
    bench.append(1).await;
    bench.settled().await;
    assert_eq!(seen.all().len(), 3, "it goes on as before");
    let removed = worker.control.remove_consumer("a", None).await.unwrap();
    assert!(removed.deleted && removed.handed_over_to.is_none());
    assert_eq!(names(&bench).await, [] as [&str; 0]);
    worker.drain().await;
}

#[tokio::test]
async fn a_handover_gives_what_was_not_started_and_the_peer_takes_it_up_at_once() {
    for same_process in [true, false] {
        let bench = Bench::with_group().await;
        let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
        // Nothing is idle for long enough to be claimed by anybody, or looked for at a tick.
        let calm = |names| WorkerSettings { concurrency: 1, ..by_hand(names) };
        let (a, other);
        if same_process {
            a = bench.run(calm(&["a", "b"]), gated(&seen, &gate));
            running(&a.control, 2).await;
            a.control.pause(Some("b")).await.unwrap();
            other = None;
        } else {
            a = bench.run(calm(&["a"]), gated(&seen, &gate));
            let b = bench.run(calm(&["b"]), gated(&seen, &gate));
            running(&a.control, 1).await;
            running(&b.control, 1).await;
            b.control.pause(Some("b")).await.unwrap();
            other = Some(b);
        }
        let ids = bench.append(5).await;
        seen.reaches(1).await;
        eventually(SOON, "a has all", async || {
            let status = a.control.status().await.ok()?;
            (status.consumers[0].in_flight == 5).then_some(())
        })
        .await;
        let peer = other.as_ref().map_or(&a.control, |b| &b.control);
        peer.resume(Some("b")).await.unwrap();
        let moved = a.control.handover("a", "b").await.unwrap();
        assert_eq!((moved.moved, moved.kept, &moved.lost[..]), (4, 1, &[][..]));
        seen.reaches(2).await;
        let second = &seen.all()[1];
        assert_eq!((second.id, &*second.consumer, second.deliveries), (ids[1], "b", 1));
        gate.add_permits(10);
        bench.settled().await;
        assert_eq!(seen.all().len(), 5);
        // It reads on.
        peer.pause(Some("b")).await.unwrap();
        bench.append(1).await;
        bench.settled().await;
        assert_eq!(&*seen.all()[5].consumer, "a");
        assert!(matches!(a.control.handover("a", "c").await, Err(ControlError::NotAPeer(_))));
        a.drain().await;
        if let Some(b) = other {
            b.drain().await;
        }
    }
}

#[tokio::test]
async fn dropped_deliveries_stay_pending_until_somebody_claims_them() {
    let bench = Bench::with_group().await;
    let seen = Seen::default();
    let worker = bench.run(by_hand(&["a", "b"]), seen.acking());
    running(&worker.control, 2).await;
    worker.control.pause(Some("b")).await.unwrap();
    assert_eq!(worker.control.drop_next("a", 3).await.unwrap(), 3);
    let ids = bench.append(5).await;
    seen.reaches(2).await;
    let dropped: Vec<_> = ids[..3].iter().map(|id| (*id, "a".to_owned(), 1)).collect();
    // Long enough for its owner, and for the peer, to take them up again if that were what they did.
    eventually(SOON, "idle for long enough to be claimed", async || {
        let rows = bench.rows().await;
        (rows.len() == 3 && rows.iter().all(|row| row.idle > MIN_IDLE)).then_some(())
    })
    .await;
    assert_eq!(bench.owners().await, dropped);
    assert_eq!(seen.ids(), ids[3..]);
    let status = worker.control.status().await.unwrap();
    assert_eq!((status.consumers[0].drop_next, status.consumers[0].dropped), (0, 3));

    let report = worker.control.claim("b", ClaimNow::default(), SOON).await.unwrap();
    assert_eq!((&report.claimed[..], report.processed), (&ids[..3], 3));
    bench.settled().await;
    worker.drain().await;

    let safe = bench.run(WorkerSettings { fault_injection: false, ..by_hand(&["c"]) }, seen.acking());
    running(&safe.control, 1).await;
    assert!(matches!(safe.control.drop_next("c", 1).await, Err(ControlError::FaultInjectionOff)));
    safe.drain().await;
}

#[tokio::test]
async fn totals_outlive_the_worker_and_its_crashes() {
    let bench = Bench::with_group().await;
    let seen = Seen::default();
    let worker = bench.run(by_hand(&["a", "b"]), seen.acking());
    bench.append(40).await;
    bench.settled().await;
    // Told with the next renewal.
    eventually(SOON, "the totals are told", async || {
        let totals = bench.stream.group_totals(GROUP).await.map_err(|error| error.to_string())?;
        if totals.acked == 40 { Ok(()) } else { Err(format!("{totals:?}")) }
    })
    .await;
    let registered = bench.stream.registered_consumers().await.unwrap();
    assert_eq!(registered.iter().map(|it| it.counters.processed).sum::<u64>(), 40);
    worker.crash().await;

    let worker = bench.run(quick("c"), seen.acking());
    bench.append(10).await;
    bench.settled().await;
    worker.drain().await;
    let totals = bench.stream.group_totals(GROUP).await.unwrap();
    assert_eq!((totals.processed, totals.acked), (50, 50));
}
