//! Marks of what was sent.

use std::time::Duration;

use stream_core::{SentMarks, StreamId};
use testkit::eventually;

use crate::support::{Bench, SOON};

#[tokio::test]
async fn each_target_of_an_entry_has_its_own() {
    let bench = Bench::start().await;
    let marks = SentMarks::new(&bench.stream, Duration::from_hours(1));
    let (one, other) = (StreamId::new(1, 0), StreamId::new(1, 1));
    marks.mark(one, "smtp").await.unwrap();
    marks.mark(one, "webhook:a").await.unwrap();
    let targets = ["webhook:b", "smtp", "webhook:a"];
    assert_eq!(marks.sent(one, &targets).await.unwrap(), [false, true, true]);
    assert_eq!(marks.sent(other, &targets).await.unwrap(), [false; 3]);
    assert_eq!(marks.sent(one, &[]).await.unwrap(), [false; 0]);
    let key = bench.stream.key().with_suffix("notified:1-0:smtp");
    let ttl: i64 = bench.cmd(&format!("PTTL {key}")).await;
    assert!((3_500_000..=3_600_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn they_end_and_go_with_the_stream() {
    let bench = Bench::start().await;
    let short = SentMarks::new(&bench.stream, Duration::from_millis(50));
    short.mark(StreamId::new(1, 0), "smtp").await.unwrap();
    eventually(SOON, "the mark is gone", async || match short.sent(StreamId::new(1, 0), &["smtp"]).await {
        Ok(sent) if sent == [false] => Ok(()),
        sent => Err(format!("{sent:?}")),
    })
    .await;
    let long = SentMarks::new(&bench.stream, Duration::from_hours(1));
    long.mark(StreamId::new(1, 0), "smtp").await.unwrap();
    bench.stream.wipe().await.unwrap();
    assert_eq!(long.sent(StreamId::new(1, 0), &["smtp"]).await.unwrap(), [false]);
}

#[tokio::test]
async fn a_redriven_stream_has_the_marks_of_the_original() {
    let bench = Bench::start().await;
    let marks = |stream| SentMarks::new(stream, Duration::from_hours(1));
    marks(&bench.stream).mark(StreamId::new(1, 0), "smtp").await.unwrap();
    let redrive = bench.redrive_stream();
    assert_eq!(marks(&redrive).sent(StreamId::new(1, 0), &["smtp"]).await.unwrap(), [true]);
}
