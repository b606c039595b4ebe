//! Entries that nobody can understand, and what somebody else deletes: the pipeline goes on, and everything is
//! accounted for.

use std::{collections::HashMap, time::Duration};

use e2e::{Pipeline, Role, Service};
use redis::AsyncCommands as _;
use testkit::eventually;

type RawFields = Vec<(Vec<u8>, Vec<u8>)>;

const GROUPS: [&str; 2] = ["notifications", "analytics"];
const PAID: [(&str, &str); 4] =
    [("type", "order.paid"), ("order_id", "o-1"), ("customer", "eve"), ("amount", "1.25")];

async fn xadd_raw(pipeline: &Pipeline, fields: &RawFields) -> String {
    let mut command = redis::cmd("XADD");
    command.arg(&pipeline.stream).arg("*");
    for (name, value) in fields {
        command.arg(name).arg(value);
    }
    command.query_async(&mut pipeline.connection().await).await.expect("XADD succeeds")
}

/// Dead letters as they are, by the ID of the original.
async fn raw_dead_letters(pipeline: &Pipeline, group: &str) -> HashMap<String, RawFields> {
    let letters: Vec<(String, RawFields)> = redis::cmd("XRANGE")
        .arg(format!("{{{}}}:dlq:{group}", pipeline.stream))
        .arg("-")
        .arg("+")
        .query_async(&mut pipeline.connection().await)
        .await
        .expect("XRANGE succeeds");
    let by_id = letters.into_iter().map(|(_, fields)| {
        let (name, id) = &fields[0];
        assert_eq!(name, b"_dl_id");
        (String::from_utf8(id.clone()).expect("an ID is text"), fields)
    });
    by_id.collect()
}

#[tokio::test]
async fn poison_of_every_kind_is_dead_lettered_byte_for_byte_and_its_neighbours_are_not() {
    let mut pipeline = Pipeline::new().await;
    let _services = pipeline.start_all([Role::Notifications, Role::Analytics]).await;
    let with = |more: &[(&[u8], &[u8])]| -> RawFields {
        let base: [(&[u8], &[u8]); 3] =
            [(b"type", b"order.paid"), (b"order_id", b"o-1"), (b"customer", b"eve")];
        base.iter().chain(more).map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
    };
    let ten_megabytes = vec![b'x'; 10_000_000];
    let poison = [
        with(&[(b"amount", b"1e3")]),
        with(&[]),
        with(&[(b"amount", b"1"), (b"big", &ten_megabytes)]),
        with(&[(b"amount", b"1"), (b"blob", b"\xff\x00\r\n\xfe")]),
        with(&[(b"amount", b"1"), (b"\xffname", b"")]),
        with(&[(b"amount", b"1"), (b"amount", b"2"), (b"", b""), (b"amount", b"1")]),
        vec![(Vec::new(), Vec::new())],
    ];
    let mut ids = Vec::new();
    for fields in &poison {
        pipeline.xadd(&PAID).await;
        ids.push(xadd_raw(&pipeline, fields).await);
    }
    pipeline.xadd(&PAID).await;
    pipeline.settled().await;

    for group in GROUPS {
        let letters = raw_dead_letters(&pipeline, group).await;
        assert_eq!(letters.len(), poison.len(), "{group}");
        for (id, original) in ids.iter().zip(&poison) {
            let letter = &letters[id];
            let (reason, kept) = (&letter[4], &letter[7..]);
            assert_eq!(reason, &(b"_dl_reason".to_vec(), b"poison".to_vec()), "{group} {id}");
            // assert_eq would print ten megabytes.
            assert!(kept == original, "{group} {id}: other bytes than the original's");
        }
    }
    let summary = pipeline.analytics("/v1/analytics/summary").await;
    assert_eq!((&summary["events"], &summary["revenue"]), (&8.into(), &"10.00".into()));
}

/// Waits until a settled group's position has been recorded, which happens every now and then: a group deleted before
/// that is delivered again what it has settled since.
async fn position_recorded(pipeline: &Pipeline, group: &str) {
    let mut connection = pipeline.connection().await;
    eventually(Duration::from_secs(20), "the position is recorded", async || {
        let newest: Vec<(String, RawFields)> = redis::cmd("XREVRANGE")
            .arg(&pipeline.stream)
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .arg(1)
            .query_async(&mut connection)
            .await
            .expect("XREVRANGE succeeds");
        let key = format!("{{{}}}:pos:{group}", pipeline.stream);
        let position: Option<String> = connection.get(key).await.expect("GET succeeds");
        (position.as_ref() == newest.first().map(|(id, _)| id)).then_some(()).ok_or(format!("{position:?}"))
    })
    .await;
}

async fn restores(worker: &Service, group: &str) -> f64 {
    worker.metric(&format!("worker_group_restores_total{{group=\"{group}\"}}")).await
}

/// Lines of the log at level WARN or ERROR.
fn complaints(service: &Service) -> usize {
    service.log().lines().filter(|line| line.contains(" WARN ") || line.contains("ERROR ")).count()
}

#[tokio::test]
async fn a_group_deleted_under_its_worker_is_recreated_at_its_position_and_analytics_stay_exact() {
    let mut pipeline = Pipeline::new().await;
    let [notifications, analytics] = pipeline.start_all([Role::Notifications, Role::Analytics]).await;
    for round in 1..=3 {
        for _ in 0..20 {
            pipeline.xadd(&PAID).await;
        }
        pipeline.settled().await;
        for group in GROUPS {
            position_recorded(&pipeline, group).await;
            let mut command = redis::cmd("XGROUP");
            command.arg("DESTROY").arg(&pipeline.stream).arg(group);
            let destroyed: u64 = command.query_async(&mut pipeline.connection().await).await.unwrap();
            assert_eq!(destroyed, 1);
        }
        pipeline.xadd(&PAID).await;
        pipeline.settled().await;
        let summary = pipeline.analytics("/v1/analytics/summary").await;
        assert_eq!(summary["events"], round * 21, "each counted once, none skipped");
    }
    for (worker, group) in [(&notifications, GROUPS[0]), (&analytics, GROUPS[1])] {
        assert!(restores(worker, group).await >= 3.0, "{group}: counted");
        assert!(worker.log().contains("recreated at its recorded position"), "{}", worker.log());
        assert!(complaints(worker) < 60, "{group}: a hot loop:\n{}", worker.log());
    }
    let sent = notifications.metric("notifications_sent_total{channel=\"log\",outcome=\"sent\"}").await;
    assert!((sent - 63.0).abs() < 0.5, "{sent} notifications of 63 events");
}

#[tokio::test]
async fn a_stream_deleted_under_the_workers_is_begun_anew_and_analytics_stay_exact() {
    let mut pipeline = Pipeline::new().await;
    let roles = [Role::Notifications, Role::Analytics, Role::Reaper];
    let [notifications, analytics, _reaper] = pipeline.start_all(roles).await;
    for round in 1..=3 {
        for _ in 0..20 {
            pipeline.xadd(&PAID).await;
        }
        pipeline.settled().await;
        let mut command = redis::cmd("DEL");
        command.arg(&pipeline.stream);
        let deleted: u64 = command.query_async(&mut pipeline.connection().await).await.unwrap();
        assert_eq!(deleted, 1);
        pipeline.xadd(&PAID).await;
        pipeline.settled().await;
        let summary = pipeline.analytics("/v1/analytics/summary").await;
        assert_eq!(summary["events"], round * 21, "each counted once, none skipped");
    }
    for (worker, group) in [(&notifications, GROUPS[0]), (&analytics, GROUPS[1])] {
        assert!(restores(worker, group).await >= 1.0, "{group}: counted");
        assert!(complaints(worker) < 60, "{group}: a hot loop:\n{}", worker.log());
    }
}
