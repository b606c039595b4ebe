//! Guarded retention end to end: nothing unread goes, memory stops at the cap, a stopped group is not waited for
//! for ever.

use std::{collections::HashSet, time::Duration};

use e2e::{Pipeline, Role, Service};
use serde_json::{Value, json};
use testkit::eventually;

const SOON: Duration = Duration::from_secs(30);
const CAP: usize = 2_000;

fn batch(from: usize, events: usize) -> String {
    let event = |n| json!({ "type": "order.paid", "order_id": format!("o-{n}"), "customer": "eve", "amount": "1.00" });
    json!((from..from + events).map(event).collect::<Vec<_>>()).to_string()
}

/// Posts batches until one is refused; the IDs answered 201, and the problem.
async fn post_until_refused(pipeline: &Pipeline, ids: &mut HashSet<String>) -> Value {
    loop {
        let (status, answer) = pipeline.post(batch(ids.len(), 50)).await;
        match status {
            201 => {
                let stored = answer["ids"].as_array().expect("the IDs of a batch");
                ids.extend(stored.iter().map(|id| id.as_str().expect("an ID is text").to_owned()));
            }
            429 => return answer,
            _ => panic!("{status}: {answer}"),
        }
    }
}

async fn words<T: redis::FromRedisValue>(pipeline: &Pipeline, line: &str) -> T {
    let mut words = line.split(' ');
    let mut cmd = redis::cmd(words.next().expect("a command"));
    words.for_each(|word| {
        cmd.arg(word);
    });
    cmd.query_async(&mut pipeline.connection().await).await.expect("Redis answers")
}

async fn length(pipeline: &Pipeline) -> usize {
    words(pipeline, &format!("XLEN {}", pipeline.stream)).await
}

/// IDs in the stream.
async fn present(pipeline: &Pipeline) -> HashSet<String> {
    let entries: Vec<(String, Vec<String>)> =
        words(pipeline, &format!("XRANGE {} - +", pipeline.stream)).await;
    entries.into_iter().map(|(id, _)| id).collect()
}

async fn shows(service: &Service, series: &str, expected: f64) {
    eventually(SOON, &format!("{series} is {expected}"), async || {
        let value = service.metric(series).await;
        if (value - expected).abs() < 0.5 { Ok(()) } else { Err(format!("{value}; {}", service.log())) }
    })
    .await;
}

fn of(name: &str, group: &str) -> String {
    format!("{name}{{group=\"{group}\",stream=\"events:orders\"}}")
}

#[tokio::test]
async fn consumers_stopped_nothing_unread_is_trimmed_and_memory_stops_growing_at_the_cap() {
    let mut pipeline = Pipeline::new().await;
    pipeline.set("ORDERFLOW__RETENTION__HARD_CAP_ENTRIES", &CAP.to_string());
    // Everything is old enough to go at once: only the groups keep it.
    pipeline.set("ORDERFLOW__RETENTION__AGE", "1ms");
    let roles = [Role::Producer, Role::Notifications, Role::Analytics, Role::Reaper];
    let [producer, mut notifications, mut analytics, reaper] = pipeline.start_all(roles).await;
    assert_eq!(pipeline.post(batch(0, 10)).await.0, 201);
    pipeline.settled().await;
    notifications.kill().await;
    analytics.kill().await;

    let mut ids = HashSet::new();
    let problem = post_until_refused(&pipeline, &mut ids).await;
    assert_eq!(
        (&problem["type"], &problem["cap"]),
        (&json!("/problems/entry-cap-reached"), &json!("entries"))
    );
    shows(&producer, "producer_admission_closed{cap=\"entries\"}", 1.0).await;
    let full = length(&pipeline).await;
    assert!((CAP..=CAP + 400).contains(&full), "{full}");
    // The problem says who is in the way, and the reaper who is waited for.
    let named = eventually(SOON, "429 names a group", async || {
        let (status, problem) = pipeline.post(batch(0, 1)).await;
        let group = problem["held_by"].as_str().filter(|_| status == 429);
        group.map(ToOwned::to_owned).ok_or(problem.to_string())
    })
    .await;
    assert!(["notifications", "analytics"].contains(&named.as_str()), "{named}");
    shows(&reaper, "stream_retention_held", 1.0).await;

    // However often producers try and the reaper trims, the stream stays as it is and nothing unread goes.
    let rounds = reaper.metric("reaper_sweep_duration_seconds_count").await;
    let memory = async || -> usize { words(&pipeline, &format!("MEMORY USAGE {}", pipeline.stream)).await };
    let before = memory().await;
    eventually(SOON, "the reaper has trimmed many times", async || {
        let (status, answer) = pipeline.post(batch(0, 50)).await;
        assert_eq!((status, &answer["stored"]), (429, &json!("no")), "{answer}");
        let done = reaper.metric("reaper_sweep_duration_seconds_count").await - rounds;
        if done > 5.0 { Ok(()) } else { Err(done) }
    })
    .await;
    assert_eq!((length(&pipeline).await, memory().await), (full, before));
    let kept = present(&pipeline).await;
    assert!(
        ids.iter().all(|id| kept.contains(id)),
        "an entry that was answered 201 is gone before it was read"
    );

    // The consumers come back: everything is settled, room is made, producing works again.
    let mut back = [pipeline.start(Role::Notifications), pipeline.start(Role::Analytics)];
    for service in &mut back {
        service.ready().await;
    }
    eventually(SOON, "producing works again", async || {
        let (status, answer) = pipeline.post(batch(900_000, 1)).await;
        if status == 201 { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
    pipeline.settled().await;
    for group in ["notifications", "analytics"] {
        assert_eq!(pipeline.dead_letters(group).await.len(), 0);
        assert_eq!(reaper.metric(&of("stream_group_entries_lost_total", group)).await as u64, 0);
    }
    // Each once: what was answered 201, and nothing else.
    let summary = pipeline.analytics("/v1/analytics/summary").await;
    assert_eq!(summary["by_type"]["order.paid"]["count"], json!(ids.len() + 11), "{summary}");
}

#[tokio::test]
async fn a_stopped_third_group_does_not_block_trimming_for_ever_and_is_warned_of_first() {
    let mut pipeline = Pipeline::new().await;
    pipeline.set("ORDERFLOW__RETENTION__AGE", "1ms");
    pipeline.set("ORDERFLOW__RETENTION__STALE_GROUP_AFTER", "10s");
    let _: () = words(&pipeline, &format!("XGROUP CREATE {} third 0 MKSTREAM", pipeline.stream)).await;
    let roles = [Role::Producer, Role::Notifications, Role::Analytics, Role::Reaper];
    let [_producer, _notifications, _analytics, reaper] = pipeline.start_all(roles).await;
    for n in 0..20 {
        assert_eq!(pipeline.post(batch(n * 50, 50)).await.0, 201);
    }
    // It reads once and stops.
    let read = format!("XREADGROUP GROUP third c COUNT 10 STREAMS {} >", pipeline.stream);
    let _: redis::Value = words(&pipeline, &read).await;
    pipeline.settled().await;

    shows(&reaper, &of("stream_group_holds_retention", "third"), 1.0).await;
    shows(&reaper, &of("stream_group_stale_warning", "third"), 1.0).await;
    assert_eq!(reaper.metric(&of("stream_group_stale", "third")).await as u64, 0, "{}", reaper.log());
    assert!(reaper.metric(&of("stream_seconds_until_trim", "third")).await > 0.0);
    assert_eq!(length(&pipeline).await, 1_000, "nothing goes before");

    shows(&reaper, &of("stream_group_stale", "third"), 1.0).await;
    eventually(SOON, "the stream is trimmed", async || {
        let length = length(&pipeline).await;
        if length <= 100 { Ok(()) } else { Err(length) }
    })
    .await;
    // What it was handed and what it was not: the former is its pending list's, the latter is lost.
    shows(
        &reaper,
        &of("stream_group_entries_lost_total", "third"),
        (1_000 - length(&pipeline).await - 10) as f64,
    )
    .await;
    assert_eq!(reaper.metric("stream_retention_held").await as u64, 0);
    for group in ["notifications", "analytics"] {
        assert_eq!(reaper.metric(&of("stream_group_entries_lost_total", group)).await as u64, 0);
        assert_eq!(reaper.metric(&of("stream_group_stale_warning", group)).await as u64, 0);
    }
}
