//! Consumer names: reserved by one process at a time, taken over from one that is gone.

use std::{process::Command, time::Duration};

use stream_core::{ConsumerCounters, Holder, NameError, NameLease, NameRenewal, WorkerError, WorkerSettings};
use testkit::eventually;
use tokio::time::Instant;

use crate::support::{Bench, GROUP, SOON, Seen, quick};

const TTL: Duration = Duration::from_secs(2);
const NONE: ConsumerCounters =
    ConsumerCounters { processed: 0, acked: 0, claimed: 0, retried: 0, dead_lettered: 0 };

async fn reserve(bench: &Bench, holder: &Holder, ttl: Duration) -> Result<NameLease, NameError> {
    NameLease::reserve(&bench.stream, GROUP, "c-0", holder, ttl).await
}

#[tokio::test]
async fn a_reserved_name_is_listed_with_its_consumer() {
    let bench = Bench::with_group().await;
    let holder = Holder::current("host-1", "10.0.0.1:9102");
    let name = reserve(&bench, &holder, TTL).await.unwrap();
    assert_eq!(bench.stream.consumers(GROUP).await.unwrap()[0].name, "c-0");
    let value: String = bench.cmd(&format!("HGET {} {GROUP}/c-0", bench.stream.key().workers())).await;
    assert_eq!(serde_json::from_str::<Holder>(&value).unwrap(), holder);
    assert!(name.renew(NONE).await.unwrap().is_held());

    name.release(false).await.unwrap();
    let workers: i64 = bench.cmd(&format!("HLEN {}", bench.stream.key().workers())).await;
    assert_eq!(workers, 1, "it has entries left: the reaper must find it");
    assert!(!name.renew(NONE).await.unwrap().is_held());
    reserve(&bench, &holder, TTL).await.unwrap().release(true).await.unwrap();
    let left: i64 = bench.cmd(&format!("EXISTS {}", bench.stream.key().workers())).await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_second_claimant_gives_up_as_soon_as_it_sees_a_renewal() {
    let bench = Bench::with_group().await;
    let ttl = Duration::from_mins(1);
    let first = reserve(&bench, &Holder::current("host-1", "10.0.0.1:9102"), ttl).await.unwrap();
    let started = Instant::now();
    let keep = async {
        loop {
            first.renew(NONE).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let second = Holder::current("host-2", "");
    let error = tokio::select! {
        () = keep => unreachable!(),
        result = reserve(&bench, &second, ttl) => result.unwrap_err(),
    };
    assert!(started.elapsed() < Duration::from_secs(10), "long before the lease could run out");
    let NameError::Taken { group, name, holder } = &error else { panic!("{error}") };
    assert_eq!((group.as_str(), name.as_str()), (GROUP, "c-0"));
    let expected = format!("process {} on host-1 at 10.0.0.1:9102", std::process::id());
    assert_eq!(holder, &expected);
    assert!(error.to_string().contains(&expected));
}

#[tokio::test]
async fn a_name_whose_holder_went_silent_is_free_after_its_lease() {
    let bench = Bench::with_group().await;
    let ttl = Duration::from_millis(600);
    let first = reserve(&bench, &Holder::current("host-1", ""), ttl).await.unwrap();
    let started = Instant::now();
    reserve(&bench, &Holder::current("host-2", ""), ttl).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(500), "not while it was held");
    assert!(!first.renew(NONE).await.unwrap().is_held());
}

#[tokio::test]
async fn a_holder_on_this_machine_that_is_gone_is_taken_over_at_once() {
    let bench = Bench::with_group().await;
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let gone = Holder { pid: child.id(), ..Holder::current("host-1", "") };
    let hour = Duration::from_hours(1);
    reserve(&bench, &gone, hour).await.unwrap();
    let started = Instant::now();
    reserve(&bench, &Holder::current("host-1", ""), hour).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_worker_whose_name_is_taken_ends_with_the_holder() {
    let bench = Bench::with_group().await;
    let seen = Seen::default();
    let first = bench.run(quick("c-0"), seen.acking());
    eventually(SOON, "the name is held", async || {
        let lease = bench.stream.key().consumer_lease(GROUP, "c-0");
        (bench.cmd::<i64>(&format!("EXISTS {lease}")).await == 1).then_some(())
    })
    .await;
    // Its other consumer has a name of its own, and stops with it.
    let mut settings = quick("c-1");
    settings.consumers.push("c-0".to_owned());
    let error = bench.run(settings, seen.acking()).end().await.unwrap_err();
    assert!(matches!(&error, WorkerError::Name(NameError::Taken { .. })), "{error}");
    bench.append(3).await;
    seen.reaches(3).await;
    assert!(seen.all().iter().all(|delivery| &*delivery.consumer == "c-0"));
    first.drain().await;
    assert!(bench.stream.consumers(GROUP).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_consumer_that_lost_its_name_reads_on_once_it_has_it_again() {
    let bench = Bench::with_group().await;
    let seen = Seen::default();
    let worker = bench.run(quick("c-0"), seen.acking());
    bench.append(1).await;
    seen.reaches(1).await;
    let lease = bench.stream.key().consumer_lease(GROUP, "c-0");
    // Somebody else, on another machine, for a second.
    bench.cmd::<()>(&format!("SET {lease} somebody-else PX 1000")).await;
    eventually(SOON, "the loss is noticed", async || {
        (worker.metric("worker_names_lost_total", "") == 1).then_some(())
    })
    .await;
    // The read in progress may still bring entries; the next ones wait.
    eventually(SOON, "the name is held again", async || {
        let value: Option<String> = bench.cmd(&format!("GET {lease}")).await;
        value.filter(|value| value.contains("\"pid\""))
    })
    .await;
    bench.append(2).await;
    seen.reaches(3).await;
    bench.settled().await;
    worker.drain().await;
}

#[tokio::test]
async fn a_worker_that_waits_for_its_name_can_be_stopped() {
    let bench = Bench::with_group().await;
    let seen = Seen::default();
    let settings = WorkerSettings { lease_ttl: Duration::from_mins(1), ..quick("c-0") };
    let worker = bench.run(settings, seen.acking());
    bench.append(1).await;
    seen.reaches(1).await;
    let lease = bench.stream.key().consumer_lease(GROUP, "c-0");
    bench.cmd::<()>(&format!("SET {lease} somebody-else PX 60000")).await;
    eventually(SOON, "the loss is noticed", async || {
        (worker.metric("worker_names_lost_total", "") == 1).then_some(())
    })
    .await;
    worker.drain().await;
    let value: String = bench.cmd(&format!("GET {lease}")).await;
    assert_eq!(value, "somebody-else", "not ours to release");
}

/// What the registry says of the consumer, and the group's totals.
async fn told(bench: &Bench) -> (ConsumerCounters, ConsumerCounters) {
    let registered = bench.stream.registered_consumers().await.expect("the registry");
    assert_eq!(registered.len(), 1);
    (registered[0].counters, bench.stream.group_totals(GROUP).await.expect("the totals"))
}

#[tokio::test]
async fn counts_are_added_to_the_groups_totals_once_however_often_they_are_told() {
    let bench = Bench::with_group().await;
    let first = ConsumerCounters { processed: 5, acked: 3, retried: 2, ..NONE };
    let name = reserve(&bench, &Holder::current("host-1", ""), TTL).await.unwrap();
    assert_eq!(told(&bench).await, (NONE, NONE));
    for _ in 0..3 {
        assert_eq!(name.renew(first).await.unwrap(), NameRenewal::Held);
    }
    assert_eq!(told(&bench).await, (first, first));
    let second = ConsumerCounters { processed: 6, acked: 4, ..first };
    name.renew(second).await.unwrap();
    assert_eq!(told(&bench).await, (second, second));

    // The next process of that name begins anew; the totals go on.
    bench.cmd::<i64>(&format!("DEL {}", bench.stream.key().consumer_lease(GROUP, "c-0"))).await;
    let name = reserve(&bench, &Holder::current("host-1", ""), TTL).await.unwrap();
    assert_eq!(told(&bench).await, (NONE, second));
    name.renew(first).await.unwrap();
    let both = ConsumerCounters { processed: 11, acked: 7, retried: 4, ..NONE };
    assert_eq!(told(&bench).await, (first, both));
    name.release(true).await.unwrap();
    assert_eq!(bench.stream.group_totals(GROUP).await.unwrap(), both);
}

#[tokio::test]
async fn counts_that_cannot_be_written_cost_no_lease() {
    let bench = Bench::with_group().await;
    let name = reserve(&bench, &Holder::current("host-1", ""), TTL).await.unwrap();
    let totals = bench.stream.key().worker_totals();
    let done = ConsumerCounters { processed: 5, acked: 3, ..NONE };
    for spoil in [format!("SET {totals} x"), format!("HSET {totals} {GROUP}/acked x")] {
        bench.cmd::<redis::Value>(&format!("DEL {totals}")).await;
        bench.cmd::<redis::Value>(&spoil).await;
        assert_eq!(name.renew(done).await.unwrap(), NameRenewal::HeldUncounted, "{spoil}");
        assert_eq!(bench.stream.registered_consumers().await.unwrap()[0].counters, NONE, "all or nothing");
    }
    bench.cmd::<redis::Value>(&format!("DEL {totals}")).await;
    assert_eq!(name.renew(done).await.unwrap(), NameRenewal::Held);
    assert_eq!(told(&bench).await, (done, done));
}
