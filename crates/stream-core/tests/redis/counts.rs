//! What a worker counts is what Redis did, also where an answer was late or somebody else was first.

use std::sync::Arc;

use stream_core::{Delivery, Effects, ErrorKind, Outcome, Projection, Rejection};
use testkit::eventually;
use tokio::sync::Semaphore;

use crate::support::{Bench, GROUP, On, Running, SOON, Seen, quick};

struct Breakable;

impl Projection for Breakable {
    fn project(&self, _: &Delivery, effects: &mut Effects<'_>) -> Result<(), Rejection> {
        effects.hash_increment("broken", "f", 1);
        Ok(())
    }
}

async fn counts(worker: &Running, acked: u64, lost: u64) {
    eventually(SOON, "all are counted", async || {
        let now = ["acked", "ownership_lost"]
            .map(|outcome| worker.metric("worker_deliveries_total", &format!("\"{outcome}\"")));
        if now == [acked, lost] { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    assert_eq!(worker.metric("worker_end_to_end_seconds_count", ""), acked);
}

#[tokio::test]
async fn a_commit_applied_without_an_answer_counts_as_acked() {
    let bench = Bench::with_group().await;
    let key = bench.stream.key().with_suffix("broken");
    bench.cmd::<()>(&format!("SET {key} text")).await;
    let worker = bench.project(quick("c"), Breakable);
    bench.append(10).await;
    eventually(SOON, "a commit is refused", async || {
        let refused = worker.metric("worker_redis_errors_total", "\"wrong_type\"") > 0;
        (refused && bench.rows().await.len() == 10).then_some(())
    })
    .await;
    bench.cmd::<i64>(&format!("DEL {key}")).await;
    // Longer than an answer may take: attempts are held up at the server, and all run in the end.
    bench.cmd::<()>("CLIENT PAUSE 3000 WRITE").await;
    bench.settled().await;
    assert_eq!(bench.cmd::<i64>(&format!("HGET {key} f")).await, 10);
    counts(&worker, 10, 0).await;
    worker.drain().await;
}

#[tokio::test]
async fn entries_that_somebody_else_has_acked_do_not_count_as_acked() {
    let bench = Bench::with_group().await;
    let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
    let (log, permits) = (seen.clone(), Arc::clone(&gate));
    let worker = bench.run(
        quick("c"),
        On(move |delivery: Delivery| {
            log.note(&delivery);
            let permits = Arc::clone(&permits);
            async move {
                permits.acquire().await.unwrap().forget();
                Outcome::Ack
            }
        }),
    );
    let ids = bench.append(10).await;
    seen.reaches(10).await;
    assert_eq!(bench.stream.ack("g", &ids[..3]).await.unwrap(), 3);
    gate.add_permits(10);
    bench.settled().await;
    counts(&worker, 7, 3).await;
    worker.drain().await;
}

#[tokio::test]
async fn a_group_to_which_nothing_was_sent_back_yet_is_no_failed_operation() {
    let bench = Bench::start().await;
    let no_group = bench.connector.errors().with_label_values(&["no_group"]);
    let error = bench.stream.redrive(GROUP).read_now(GROUP, "c", 1).await.expect_err("there is no group");
    assert_eq!((error.kind(), no_group.get()), (ErrorKind::NoGroup, 0));
    bench.stream.read_now(GROUP, "c", 1).await.expect_err("there is no group here either");
    assert_eq!(no_group.get(), 1, "where there should be one it counts");
}
