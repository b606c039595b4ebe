//! How often a handler is started: once, whatever its worker goes through, unless the process dies under it.

use std::{collections::HashMap, env, time::Duration};

use e2e::{Pipeline, Role, Service};
use nix::sys::signal::Signal;
use redis::AsyncCommands as _;
use testkit::eventually;

const SOON: Duration = Duration::from_secs(30);

/// How often each ID is in one of the probe's lists.
async fn recorded(pipeline: &Pipeline, list: &str) -> HashMap<String, usize> {
    let ids: Vec<String> = pipeline.connection().await.lrange(list, 0, -1).await.expect("LRANGE answers");
    let mut counts = HashMap::new();
    for id in ids {
        *counts.entry(id).or_default() += 1;
    }
    counts
}

/// Appends entries that take so long to handle.
async fn append(pipeline: &Pipeline, entries: usize, sleep_ms: &str) -> Vec<String> {
    let mut connection = pipeline.connection().await;
    let mut pipe = redis::pipe();
    for _ in 0..entries {
        pipe.cmd("XADD").arg(&pipeline.stream).arg("*").arg("sleep_ms").arg(sleep_ms);
    }
    pipe.query_async(&mut connection).await.expect("XADD succeeds")
}

async fn start(pipeline: &mut Pipeline, consumers: &[&str]) -> Service {
    let mut worker = pipeline.start_named(Role::Probe, consumers);
    worker.ready().await;
    worker
}

/// Waits until the probe's group has nothing left.
async fn settled(pipeline: &Pipeline, entries: usize) {
    eventually(SOON, "every entry was handled to its end and acked", async || {
        let ended = recorded(pipeline, "probe:ends").await.len();
        let pending = pipeline.pending("notifications").await.len();
        (ended == entries && pending == 0).then_some(()).ok_or(format!("{ended} ended, {pending} pending"))
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_takes_three_times_claim_min_idle_runs_once_for_each_entry() {
    let mut pipeline = Pipeline::new().await;
    // Two at a time in each consumer: the others wait in its memory for as long.
    pipeline.set("ORDERFLOW__WORKER__CONCURRENCY", "2");
    let _first = start(&mut pipeline, &["a"]).await;
    let _second = start(&mut pipeline, &["b"]).await;
    // claim_min_idle is 1 s here.
    let ids = append(&pipeline, 12, "3000").await;
    settled(&pipeline, ids.len()).await;
    let starts = recorded(&pipeline, "probe:starts").await;
    assert_eq!(starts.len(), ids.len());
    assert!(starts.values().all(|times| *times == 1), "{starts:?}");
}

/// Five times in a row; `E2E_DRAIN_ROUNDS=50` for fifty.
#[tokio::test]
async fn sigterm_under_load_starts_no_handler_twice() {
    let rounds: usize = env::var("E2E_DRAIN_ROUNDS").map_or(5, |rounds| rounds.parse().expect("a number"));
    let mut pipeline = Pipeline::new().await;
    // Most of what a consumer holds has not been started when the signal comes, and is given back.
    pipeline.set("ORDERFLOW__WORKER__CONCURRENCY", "4");
    let drain_timeout = Duration::from_secs(8);
    let _peer = start(&mut pipeline, &["peer-a", "peer-b"]).await;
    let mut entries = 0;
    for round in 1..=rounds {
        let mut worker = start(&mut pipeline, &["drained-a", "drained-b"]).await;
        entries += append(&pipeline, 200, "20").await.len();
        eventually(SOON, "the worker has entries in flight", async || {
            // Its peer may have been quicker.
            entries += append(&pipeline, 20, "20").await.len();
            let pending = pipeline.pending("notifications").await;
            pending.iter().any(|(_, consumer, ..)| consumer.starts_with("drained")).then_some(())
        })
        .await;
        let asked = std::time::Instant::now();
        worker.signal(Signal::SIGTERM);
        assert_eq!(worker.exit().await.code(), Some(0), "round {round}: {}", worker.log());
        assert!(asked.elapsed() < drain_timeout, "round {round}: {:?}", asked.elapsed());
    }
    settled(&pipeline, entries).await;
    let starts = recorded(&pipeline, "probe:starts").await;
    let twice: Vec<_> = starts.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty() && starts.len() == entries, "{} of {entries}; {twice:?}", starts.len());
}

#[tokio::test]
async fn an_entry_that_kills_the_process_is_dead_lettered_after_its_fifth_attempt_and_no_neighbour_is() {
    let mut pipeline = Pipeline::new().await;
    pipeline.set("ORDERFLOW__WORKER__CLAIM_MIN_IDLE", "500ms");
    pipeline.set("ORDERFLOW__WORKER__LEASE_RENEW_INTERVAL", "200ms");
    let mut worker = start(&mut pipeline, &["a", "b"]).await;
    // In flight together with the killer, each long enough to be there when it strikes.
    let mut neighbours = append(&pipeline, 10, "100").await;
    let killer = pipeline.xadd(&[("kill", "yes")]).await;
    neighbours.extend(append(&pipeline, 10, "100").await);

    let mut deaths = 0;
    let letters = eventually(Duration::from_mins(1), "the killer is a dead letter", async || {
        if worker.has_ended().is_some() {
            deaths += 1;
            worker = pipeline.start_named(Role::Probe, &["a", "b"]);
        }
        let letters = pipeline.dead_letters("notifications").await;
        if letters.is_empty() { Err(format!("{deaths} deaths")) } else { Ok(letters) }
    })
    .await;
    worker.ready().await;
    settled(&pipeline, neighbours.len()).await;

    assert_eq!((letters.len(), &letters[0]["_dl_id"]), (1, &killer), "{letters:?}");
    assert_eq!(letters[0]["_dl_reason"], "max_deliveries");
    assert_eq!(pipeline.dead_letters("notifications").await.len(), 1, "no neighbour is one");
    let starts = recorded(&pipeline, "probe:starts").await;
    assert_eq!((starts[&killer], deaths), (5, 5));
    let ends = recorded(&pipeline, "probe:ends").await;
    assert!(neighbours.iter().all(|id| ends.contains_key(id)), "every neighbour was handled");
}
