//! The worker runtime: every entry is handled and settled, whatever its handler does.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use stream_core::{Delivery, Handler, Outcome, StreamId, WorkerSettings};
use testkit::eventually;

use crate::support::{Bench, On, SOON, Seen, quick, retry, text};

#[tokio::test]
async fn every_entry_is_handled_once_and_acked() {
    let bench = Bench::start().await;
    let ids = bench.append(500).await;
    let seen = Seen::default();
    let worker = bench.run(quick("c"), seen.acking());
    seen.reaches(500).await;
    let later = bench.append(500).await;
    seen.reaches(1_000).await;
    bench.settled().await;
    let mut handled = seen.ids();
    handled.sort();
    assert_eq!(handled, [ids, later].concat());
    let first = &seen.all()[0];
    assert_eq!((&*first.group, &*first.consumer, first.deliveries), ("g", "c", 1));
    assert_eq!(worker.metric("worker_deliveries_total", "\"acked\""), 1_000);
    assert_eq!(worker.metric("worker_in_flight", ""), 0);
    assert_eq!(worker.drain().await.released, 0);
    assert!(bench.stream.consumers("g").await.unwrap().is_empty(), "deleted: nothing was pending");
    assert_eq!(bench.cmd::<Vec<String>>("KEYS *lease*").await, Vec::<String>::new(), "the name is released");
}

#[tokio::test]
async fn several_consumers_share_the_work() {
    let bench = Bench::start().await;
    let seen = Seen::default();
    let settings = WorkerSettings {
        consumers: vec!["c-0".into(), "c-1".into(), "c-2".into()],
        read_count: 5,
        ..quick("")
    };
    let (worker, _) = bench.worker(settings);
    let mut ready = worker.consumers_ready();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let task = tokio::spawn(worker.run_handler(seen.acking(), shutdown.clone()));
    ready.wait_for(|now| now.ready == 3 && now.is_ready()).await.unwrap();
    for _ in 0..30 {
        bench.append(10).await;
    }
    seen.reaches(300).await;
    bench.settled().await;
    let mut by_consumer = HashMap::new();
    seen.all()
        .iter()
        .for_each(|delivery| *by_consumer.entry(delivery.consumer.to_string()).or_insert(0) += 1);
    assert_eq!(by_consumer.len(), 3, "{by_consumer:?}");
    shutdown.cancel();
    task.await.unwrap().unwrap();
    assert_eq!(seen.all().len(), 300);
    assert_eq!(ready.borrow().ready, 0);
}

#[tokio::test]
async fn unicode_and_binary_fields_reach_the_handler() {
    let bench = Bench::start().await;
    let fields: [(&[u8], &[u8]); 3] =
        [("ключ".as_bytes(), "値".as_bytes()), (b"\xff\0", b"\xfe"), (b"", b"")];
    bench.stream.append(fields).await.unwrap();
    let seen = Seen::default();
    let worker =
        bench.run(WorkerSettings { ordering_field: Some("ключ".into()), ..quick("c") }, seen.acking());
    seen.reaches(1).await;
    assert_eq!(seen.all()[0].fields.iter().collect::<Vec<_>>(), fields);
    worker.drain().await;
}

/// Fails in one way until the attempt `succeeds_at`, then acks.
async fn fail_then_ack(fail: impl Fn() -> Outcome + Send + Sync + 'static, succeeds_at: u64) {
    let bench = Bench::start().await;
    let ids = bench.append(2).await;
    let (seen, fail) = (Seen::default(), Arc::new(fail));
    let (log, failing) = (seen.clone(), ids[0]);
    let worker = bench.run(
        quick("c"),
        On(move |delivery: Delivery| {
            log.note(&delivery);
            let fail = Arc::clone(&fail);
            async move {
                if delivery.id == failing && delivery.deliveries < succeeds_at {
                    fail()
                } else {
                    Outcome::Ack
                }
            }
        }),
    );
    bench.settled().await;
    let attempts: Vec<u64> =
        seen.counts().into_iter().filter(|(id, _)| *id == failing).map(|(_, count)| count).collect();
    assert_eq!(attempts, (1..=succeeds_at).collect::<Vec<_>>());
    assert_eq!(seen.ids().iter().filter(|id| **id == ids[1]).count(), 1, "the other was not disturbed");
    assert!(bench.dead_letters().await.is_empty());
    assert_eq!(worker.metric("worker_deliveries_total", "\"retried\""), succeeds_at - 1);
    worker.drain().await;
}

#[tokio::test]
async fn a_retry_is_delivered_again_until_it_is_acked() {
    fail_then_ack(|| retry("not now"), 4).await;
}

#[tokio::test]
async fn a_panic_is_a_retry() {
    fail_then_ack(|| panic!("out of cheese"), 2).await;
}

/// Panics in the call itself, before there is a future; and in the future's drop, after its time is up.
struct PanicsAround(Seen);

struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

impl Handler for PanicsAround {
    fn handle(&self, delivery: &Delivery) -> impl Future<Output = Outcome> + Send {
        self.0.note(delivery);
        assert!(delivery.deliveries > 1, "before the future");
        let hangs = delivery.deliveries == 2;
        async move {
            if hangs {
                let _bomb = PanicsOnDrop;
                std::future::pending::<()>().await;
            }
            Outcome::Ack
        }
    }
}

#[tokio::test]
async fn a_panic_anywhere_around_the_handler_is_a_retry() {
    let bench = Bench::start().await;
    bench.append(1).await;
    let seen = Seen::default();
    let settings = WorkerSettings { handler_timeout: Duration::from_millis(50), ..quick("c") };
    let worker = bench.run(settings, PanicsAround(seen.clone()));
    bench.settled().await;
    assert_eq!(seen.all().iter().map(|delivery| delivery.deliveries).collect::<Vec<_>>(), [1, 2, 3]);
    worker.drain().await;
}

#[tokio::test]
async fn a_handler_that_takes_too_long_has_failed() {
    let bench = Bench::start().await;
    bench.append(1).await;
    let settings =
        WorkerSettings { handler_timeout: Duration::from_millis(50), max_deliveries: 2, ..quick("c") };
    let worker = bench.run(settings, On(|_: Delivery| std::future::pending::<Outcome>()));
    bench.settled().await;
    let letter = &bench.dead_letters().await[0];
    assert_eq!(text(letter, "_dl_error"), "the handler took longer than 50ms");
    worker.drain().await;
}

#[tokio::test]
async fn the_last_failed_attempt_makes_a_dead_letter_with_its_reason() {
    let bench = Bench::start().await;
    let ids = bench.append(1).await;
    let seen = Seen::default();
    let log = seen.clone();
    let worker = bench.run(
        quick("c"),
        On(move |delivery: Delivery| {
            log.note(&delivery);
            async move { retry(&format!("attempt {}", delivery.deliveries)) }
        }),
    );
    bench.settled().await;
    assert_eq!(seen.counts(), (1..=5).map(|n| (ids[0], n)).collect::<Vec<_>>());
    let letter = &bench.dead_letters().await[0];
    let told = ["_dl_id", "_dl_deliveries", "_dl_reason", "_dl_error", "n"].map(|name| text(letter, name));
    assert_eq!(told, [&ids[0].to_string(), "5", "max_deliveries", "attempt 5", "0"]);
    eventually(SOON, "it is counted", async || {
        (worker.metric("worker_deliveries_total", "\"dead_lettered\"") == 1).then_some(())
    })
    .await;
    worker.drain().await;
}

#[tokio::test]
async fn poison_and_final_failures_are_dead_letters_at_once() {
    let bench = Bench::start().await;
    let ids = bench.append(3).await;
    let worker = bench.run(
        quick("c"),
        On(|delivery: Delivery| async move {
            match delivery.fields.get("n") {
                Some(b"0") => Outcome::Poison { reason: "no amount".into() },
                Some(b"1") => Outcome::DeadLetter { reason: "no such address".into() },
                _ => Outcome::Ack,
            }
        }),
    );
    bench.settled().await;
    let mut dead = bench.dead().await;
    dead.sort();
    let expected = [(ids[0].to_string(), "poison".into()), (ids[1].to_string(), "rejected".into())];
    assert_eq!(dead, expected);
    worker.drain().await;
}

/// Notes overlaps and disorder of first attempts within one key.
#[tokio::test]
async fn first_attempts_of_one_key_run_one_by_one_in_id_order() {
    let bench = Bench::start().await;
    let fields = (0..400).map(|n| [("order_id", format!("o-{}", n % 7)), ("n", n.to_string())]);
    for result in bench.stream.append_batch(fields).await {
        result.unwrap();
    }
    let seen = Seen::default();
    let log = seen.clone();
    let running: Arc<[AtomicUsize; 7]> = Arc::default();
    let overlaps = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (at_once, overlapped, highest) = (Arc::clone(&running), Arc::clone(&overlaps), Arc::clone(&most));
    let settings = WorkerSettings { ordering_field: Some("order_id".into()), ..quick("c") };
    let worker = bench.run(
        settings,
        On(move |delivery: Delivery| {
            let lane = usize::from(delivery.fields.get("order_id").unwrap()[2] - b'0');
            log.note(&delivery);
            let (running, overlaps, most) =
                (Arc::clone(&at_once), Arc::clone(&overlapped), Arc::clone(&highest));
            async move {
                overlaps.fetch_add(running[lane].fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
                let now = running.iter().map(|lane| lane.load(Ordering::SeqCst)).sum();
                most.fetch_max(now, Ordering::SeqCst);
                for _ in 0..fastrand::u8(0..20) {
                    tokio::task::yield_now().await;
                }
                running[lane].fetch_sub(1, Ordering::SeqCst);
                Outcome::Ack
            }
        }),
    );
    bench.settled().await;
    let mut lanes: HashMap<Vec<u8>, Vec<StreamId>> = HashMap::new();
    for delivery in seen.all() {
        lanes.entry(delivery.fields.get("order_id").unwrap().to_vec()).or_default().push(delivery.id);
    }
    assert_eq!(seen.all().len(), 400);
    assert!(lanes.values().all(|ids| ids.is_sorted()));
    assert_eq!(overlaps.load(Ordering::SeqCst), 0);
    assert!(most.load(Ordering::SeqCst) > 1, "different keys run side by side");
    worker.drain().await;
}
