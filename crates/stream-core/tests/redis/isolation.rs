//! Suspects, which may be what kills processes, run alone among all consumers of a worker.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use stream_core::{Delivery, Outcome, WorkerSettings};
use testkit::eventually;
use tokio::sync::Semaphore;

use crate::support::{Bench, GROUP, On, SOON, Seen, quick};

const HOUR: Duration = Duration::from_hours(1);

fn pair() -> WorkerSettings {
    // Not so short that a busy machine lets leases run out.
    let claim_min_idle = Duration::from_secs(2);
    WorkerSettings { consumers: vec!["c-0".into(), "c-1".into()], read_count: 5, claim_min_idle, ..quick("") }
}

#[tokio::test]
async fn suspects_run_alone_in_the_whole_worker() {
    let bench = Bench::with_group().await;
    let suspects = bench.append(6).await;
    bench.deliver_to("crashed", 6).await;
    for id in &suspects {
        bench.set_row("crashed", *id, 2, HOUR).await;
    }
    bench.append(300).await;
    let seen = Seen::default();
    let (log, running, overlaps) =
        (seen.clone(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let overlapped = Arc::clone(&overlaps);
    let worker = bench.run(
        pair(),
        On(move |delivery: Delivery| {
            log.note(&delivery);
            let (running, overlaps) = (Arc::clone(&running), Arc::clone(&overlapped));
            async move {
                // A suspect counts for a thousand: nobody starts or ends beside it.
                let weight = if delivery.deliveries >= 3 { 1_000 } else { 1 };
                let before = running.fetch_add(weight, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                let after = running.fetch_sub(weight, Ordering::SeqCst) - weight;
                if before >= 1_000 || after >= 1_000 || weight == 1_000 && (before > 0 || after > 0) {
                    overlaps.fetch_add(1, Ordering::SeqCst);
                }
                Outcome::Ack
            }
        }),
    );
    seen.reaches(100).await;
    bench.append(300).await;
    bench.settled().await;
    assert_eq!(overlaps.load(Ordering::SeqCst), 0);
    assert_eq!(seen.all().iter().filter(|delivery| delivery.deliveries == 3).count(), 6);
    assert_eq!(seen.all().len(), 606);
    worker.drain().await;
}

#[tokio::test]
async fn a_drain_ends_while_a_suspect_waits_for_a_long_handler() {
    let bench = Bench::with_group().await;
    let suspect = bench.append(1).await[0];
    bench.deliver_to("crashed", 1).await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let (log, permits) = (seen.clone(), Arc::clone(&gate));
    let worker = bench.run(
        WorkerSettings { drain_timeout: Duration::from_millis(500), claim_min_idle: HOUR / 2, ..pair() },
        On(move |delivery: Delivery| {
            log.note(&delivery);
            let permits = Arc::clone(&permits);
            async move {
                permits.acquire().await.unwrap().forget();
                Outcome::Ack
            }
        }),
    );
    let ordinary = bench.append(1).await[0];
    seen.reaches(1).await;
    bench.set_row("crashed", suspect, 2, HOUR).await;
    // Nothing outside shows that a consumer waits for its turn; the claims of a hundred ticks must not take it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let untouched = (suspect, "crashed".to_owned(), 2);
    assert!(bench.owners().await.contains(&untouched), "a delivery is an attempt: it is not claimed to wait");
    let report = worker.drain().await;
    assert_eq!((report.released, report.abandoned), (0, 1));
    assert_eq!(seen.ids(), [ordinary], "the suspect was not started beside it");
    assert!(bench.owners().await.contains(&untouched));
    assert_eq!(bench.stream.pending_summary(GROUP).await.unwrap().count, 2);
}

#[tokio::test]
async fn a_process_that_dies_while_a_suspect_waits_for_its_turn_has_not_delivered_it() {
    let bench = Bench::with_group().await;
    let suspect = bench.append(1).await[0];
    bench.deliver_to("crashed", 1).await;
    for restart in 0..3 {
        // Not idle until an ordinary delivery runs, and does not end.
        bench.set_row("crashed", suspect, 4, Duration::ZERO).await;
        let (seen, consumer) = (Seen::default(), format!("c-{restart}"));
        let log = seen.clone();
        let worker = bench.run(
            WorkerSettings { claim_min_idle: HOUR / 2, ..quick(&consumer) },
            On(move |delivery: Delivery| {
                log.note(&delivery);
                std::future::pending::<Outcome>()
            }),
        );
        let ordinary = bench.append(1).await[0];
        seen.reaches(1).await;
        bench.set_row("crashed", suspect, 4, HOUR).await;
        // Several claim intervals, in which it is seen and wants its turn.
        tokio::time::sleep(Duration::from_millis(300)).await;
        worker.crash().await;
        assert_eq!(seen.ids(), [ordinary]);
        bench.stream.ack(GROUP, &[ordinary]).await.unwrap();
        assert_eq!(bench.owners().await, [(suspect, "crashed".into(), 4)], "no delivery without an attempt");
    }
    let seen = Seen::default();
    let worker = bench.run(quick("d"), seen.acking());
    bench.settled().await;
    assert_eq!(seen.counts(), [(suspect, 5)], "its last attempt is made, and alone");
    assert!(bench.dead_letters().await.is_empty());
    worker.drain().await;
}

#[tokio::test]
async fn with_two_deliveries_in_all_the_second_is_made_alone() {
    let bench = Bench::with_group().await;
    let old = bench.append(5).await;
    bench.deliver_to("crashed", 5).await;
    for id in &old {
        bench.set_row("crashed", *id, 1, HOUR).await;
    }
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, highest) = (Arc::clone(&running), Arc::clone(&most));
    let worker = bench.run(
        WorkerSettings { max_deliveries: 2, ..pair() },
        On(move |_: Delivery| {
            let (running, most) = (Arc::clone(&now), Arc::clone(&highest));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                Outcome::Ack
            }
        }),
    );
    bench.settled().await;
    assert_eq!(most.load(Ordering::SeqCst), 1);
    assert!(bench.dead_letters().await.is_empty());
    worker.drain().await;
}

#[tokio::test]
async fn others_have_their_time_between_two_suspects() {
    let bench = Bench::with_group().await;
    let suspects = bench.append(20).await;
    bench.deliver_to("crashed", 20).await;
    for id in &suspects {
        bench.set_row("crashed", *id, 2, HOUR).await;
    }
    let seen = Seen::default();
    let log = seen.clone();
    let worker = bench.run(
        pair(),
        On(move |delivery: Delivery| {
            log.note(&delivery);
            async move {
                tokio::time::sleep(Duration::from_millis(if delivery.deliveries > 2 { 50 } else { 1 })).await;
                Outcome::Ack
            }
        }),
    );
    eventually(SOON, "the first suspects ran", async || {
        (seen.all().iter().filter(|delivery| delivery.deliveries > 2).count() > 1).then_some(())
    })
    .await;
    bench.append(50).await;
    bench.settled().await;
    let seen = seen.all();
    let last_suspect = seen.iter().rposition(|delivery| delivery.deliveries > 2).expect("suspects ran");
    let before = seen[..last_suspect].iter().filter(|delivery| delivery.deliveries == 1).count();
    assert!(before >= 25, "{before} of 50 others came before the last suspect");
    worker.drain().await;
}
