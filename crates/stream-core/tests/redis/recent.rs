//! What a running worker tells of its last deliveries.

use stream_core::{Delivery, Outcome, RecentDelivery, RecentOutcome, WorkerControl, WorkerSettings};
use testkit::eventually;

use crate::support::{Bench, On, SOON, quick, retry};

async fn recent(control: &WorkerControl) -> Vec<RecentDelivery> {
    control.status().await.expect("a running worker").consumers.remove(0).recent
}

#[tokio::test]
async fn the_last_deliveries_are_told_with_what_came_of_them() {
    let bench = Bench::with_group().await;
    let handler = On(|delivery: Delivery| {
        let n = delivery.fields.get("n").map(<[u8]>::to_vec).unwrap_or_default();
        async move {
            match &n[..] {
                b"1" if delivery.deliveries == 1 => retry("once"),
                b"2" => Outcome::DeadLetter { reason: "never".to_owned() },
                _ => Outcome::Ack,
            }
        }
    });
    let settings = WorkerSettings { fault_injection: true, claim_auto: false, ..quick("a") };
    let worker = bench.run(settings, handler);
    let status = eventually(SOON, "the worker runs", async || {
        let status = worker.control.status().await.map_err(|error| error.to_string())?;
        if worker.control.drop_next("a", 1).await.is_ok() { Ok(status) } else { Err(format!("{status:?}")) }
    })
    .await;
    assert!(status.fault_injection);
    assert_eq!(status.claim_min_idle_ms, quick("a").claim_min_idle.as_millis() as u64);

    // One after the other, so that their order is known: dropped, retried and acked, dead-lettered.
    let mut ids = Vec::new();
    for (n, ends) in [("0", 1), ("1", 3), ("2", 4)] {
        ids.push(bench.stream.append([("n", n)]).await.expect("the entry is stored"));
        eventually(SOON, "the entry has come to its end", async || {
            let recent = recent(&worker.control).await;
            if recent.len() == ends { Ok(()) } else { Err(format!("{recent:?}")) }
        })
        .await;
    }
    let told: Vec<_> = recent(&worker.control)
        .await
        .into_iter()
        .map(|it| (it.id, it.outcome, it.attempt, it.reason.unwrap_or_default()))
        .collect();
    let expected = [
        (ids[2], RecentOutcome::DeadLettered, 1, "never".to_owned()),
        (ids[1], RecentOutcome::Acked, 2, String::new()),
        (ids[1], RecentOutcome::Retried, 1, "once".to_owned()),
        (ids[0], RecentOutcome::Dropped, 1, String::new()),
    ];
    assert_eq!(told, expected);
    worker.drain().await;
}
