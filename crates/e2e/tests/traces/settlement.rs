//! How entries end, as their traces tell: acked at once, acked after a retry, dead, and sent back.

use std::process::Command;

use e2e::{Role, binary};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::Value;
use testkit::eventually;

use crate::{
    collector::{Collector, Received, SOON, find},
    stream::{TRACE, order, traceparent},
};

/// The outcomes of the attempts, in order.
fn attempts(spans: &[Received]) -> Vec<(String, String)> {
    let processed = spans.iter().filter(|span| span.attribute("messaging.operation.type") == "process");
    let mut attempts: Vec<_> = processed
        .map(|span| (span.attribute("orderflow.attempt"), span.attribute("orderflow.outcome")))
        .collect();
    attempts.sort_unstable();
    attempts
}

fn owned(attempts: &[(&str, &str)]) -> Vec<(String, String)> {
    attempts.iter().map(|(attempt, outcome)| ((*attempt).to_owned(), (*outcome).to_owned())).collect()
}

#[tokio::test]
async fn a_retry_is_another_attempt_in_the_same_trace() {
    let collector = Collector::start().await;
    let mut pipeline = collector.pipeline().await;
    let _services = pipeline.start_all([Role::Producer, Role::Probe]).await;
    let mut event = order("o-1");
    event["failures"] = 2.into();
    pipeline.post_with(&[("traceparent", &traceparent(TRACE, "01"))], event.to_string()).await;

    // Server, send, XADD; three attempts; one ack.
    let spans = collector.trace(TRACE, 7).await;
    assert_eq!(attempts(&spans), owned(&[("1", "retry"), ("2", "retry"), ("3", "ack")]));
    let send = find(&spans, "producer-api", "send events:orders");
    let failed =
        spans.iter().find(|span| span.attribute("orderflow.outcome") == "retry").expect("one has failed");
    assert_eq!(failed.parent(), send.id());
    let status = failed.span.status.clone().unwrap_or_default();
    assert_eq!((status.code(), status.message.as_str()), (StatusCode::Error, "told to fail"));
    let acked =
        spans.iter().find(|span| span.attribute("orderflow.outcome") == "ack").expect("one was acked");
    let ack = find(&spans, "probe-worker", "ack events:orders");
    assert_eq!((ack.parent(), ack.attribute("orderflow.outcome")), (acked.id(), "acked".to_owned()));
}

#[tokio::test]
async fn a_dead_letter_keeps_its_trace_there_and_back() {
    let collector = Collector::start().await;
    let mut pipeline = collector.pipeline().await;
    let _services = pipeline.start_all([Role::Producer, Role::Probe]).await;
    let mut event = order("o-1");
    event["reject"] = true.into();
    let answer = pipeline.post_with(&[("traceparent", &traceparent(TRACE, "01"))], event.to_string()).await;
    let answer: Value = answer.json().await.expect("JSON");
    let id = answer["id"].as_str().expect("it is stored");

    // Server, send, XADD; the attempt; the dead letter.
    let spans = collector.trace(TRACE, 5).await;
    assert_eq!(attempts(&spans), owned(&[("1", "dead_letter")]));
    let buried = find(&spans, "probe-worker", "dead_letter events:orders");
    assert_eq!(buried.attribute("orderflow.outcome"), "dead_lettered");
    assert_eq!(buried.attribute("orderflow.dead_letter.reason"), "rejected");
    assert_eq!(buried.attribute("messaging.message.id"), id);

    let written = pipeline.entry(id).await["_traceparent"].clone();
    let letters = pipeline.dead_letters("notifications").await;
    assert_eq!(letters[0]["_traceparent"], written);

    let redrive = Command::new(binary("orderflow"))
        .args(["dlq", "redrive", "notifications", "--all", "--redis-url", &pipeline.redis.url()])
        .output()
        .expect("orderflow runs");
    assert!(redrive.status.success(), "{}", String::from_utf8_lossy(&redrive.stderr));
    let spans = collector.trace(TRACE, 7).await;
    let again =
        spans.iter().filter(|span| span.span.name.contains("redrive:notifications")).collect::<Vec<_>>();
    assert_eq!(again.len(), 2, "an attempt and a dead letter");
    let send = find(&spans, "producer-api", "send events:orders");
    assert!(again.iter().any(|span| span.parent() == send.id()));
    assert!(again.iter().all(|span| span.attribute("messaging.message.id") == id), "the original ID");
    eventually(SOON, "it is a dead letter again", async || {
        let letters = pipeline.dead_letters("notifications").await;
        let kept = letters.first().is_some_and(|letter| letter["_traceparent"] == written);
        kept.then_some(()).ok_or(format!("{letters:?}"))
    })
    .await;
}
