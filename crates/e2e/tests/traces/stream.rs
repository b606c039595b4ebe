//! One trace from the client's request across the stream to both workers, and links where one span is for several.

use e2e::Role;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};

use crate::collector::{Collector, find};

pub(crate) const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT: &str = "b7ad6b7169203331";

/// The `traceparent` of a client whose trace has this ID.
pub(crate) fn traceparent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{CLIENT}-{flags}")
}

pub(crate) fn order(order_id: &str) -> Value {
    json!({"type": "order.paid", "order_id": order_id, "customer": "c-1", "amount": "10.00"})
}

/// What is in the log, one object a line.
pub(crate) fn lines(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[tokio::test]
async fn one_trace_leads_from_the_request_to_both_settlements() {
    let collector = Collector::start().await;
    let mut pipeline = collector.pipeline().await;
    pipeline.set("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc");
    pipeline.set("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.version=9");
    let [_producer, notifications, _analytics] =
        pipeline.start_all([Role::Producer, Role::Notifications, Role::Analytics]).await;

    let parent = traceparent(TRACE, "01");
    let headers = [("traceparent", parent.as_str()), ("tracestate", "shop=7")];
    let answer: Value =
        pipeline.post_with(&headers, order("o-1").to_string()).await.json().await.expect("JSON");
    let id = answer["id"].as_str().expect("it is stored").to_owned();
    pipeline.settled().await;

    let spans = collector.trace(TRACE, 6).await;
    let server = find(&spans, "producer-api", "POST /v1/events");
    assert_eq!((server.parent().as_str(), server.span.kind()), (CLIENT, SpanKind::Server));
    assert_eq!(server.attribute("http.response.status_code"), "201");
    assert_eq!(server.attribute("http.route"), "/v1/events");
    assert_eq!(server.span.trace_state, "shop=7");

    let send = find(&spans, "producer-api", "send events:orders");
    assert_eq!((send.parent(), send.span.kind()), (server.id(), SpanKind::Producer));
    assert_eq!(send.attribute("messaging.system"), "redis");
    assert_eq!(send.attribute("messaging.destination.name"), "events:orders");
    assert_eq!(send.attribute("messaging.operation.type"), "send");
    assert_eq!(send.attribute("messaging.message.id"), id);

    let write = find(&spans, "producer-api", "XADD events:orders");
    assert_eq!((write.parent(), write.span.kind()), (send.id(), SpanKind::Client));
    assert_eq!(write.links(), [send.id()]);
    assert_eq!(write.attribute("db.operation.batch.size"), "1");

    let entry = pipeline.entry(&id).await;
    assert_eq!(entry["_traceparent"], format!("00-{TRACE}-{}-01", send.id()));
    assert_eq!(entry["_tracestate"], "shop=7");

    let notify = find(&spans, "notifications-worker", "process events:orders");
    assert_eq!((notify.parent(), notify.span.kind()), (send.id(), SpanKind::Consumer));
    assert_eq!(notify.attribute("messaging.consumer.group.name"), "notifications");
    assert_eq!(notify.attribute("messaging.message.id"), id);
    assert_eq!(notify.attribute("orderflow.attempt"), "1");
    assert_eq!(notify.attribute("orderflow.outcome"), "ack");
    assert_eq!(notify.events(), ["notification"], "what the handler logs is in its span");
    let ack = find(&spans, "notifications-worker", "ack events:orders");
    assert_eq!((ack.parent(), ack.span.kind()), (notify.id(), SpanKind::Client));
    assert_eq!(ack.attribute("messaging.operation.type"), "settle");
    assert_eq!(ack.attribute("orderflow.outcome"), "acked");

    // The projection acks in the script that applies it, so there is no settlement of its own.
    let project = find(&spans, "analytics-worker", "process events:orders");
    assert_eq!((project.parent(), project.links()), (send.id(), vec![send.id()]));
    assert_eq!(project.attribute("orderflow.outcome"), "committed");
    assert_eq!(project.attribute("messaging.batch.message_count"), "1");
    assert_eq!(project.resource["deployment.environment.name"], "test");
    assert_eq!(project.resource["service.version"], "9", "the environment's word goes before ours");
    assert_eq!(collector.authorization(), "Bearer abc");

    let lines = lines(&notifications.log());
    let line = lines.iter().find(|line| line["message"] == "notification").expect("it was notified");
    assert_eq!((line["trace_id"].as_str(), line["span_id"].as_str()), (Some(TRACE), Some(&*notify.id())));
}

#[tokio::test]
async fn a_batch_is_linked_to_every_trace_that_it_settles() {
    let collector = Collector::start().await;
    let mut pipeline = collector.pipeline().await;
    let _producer = pipeline.start_all([Role::Producer]).await;
    let traces: Vec<String> = (1..=3).map(|n| format!("{n:032x}")).collect();
    for trace in &traces {
        let parent = traceparent(trace, "01");
        let batch = json!([order("o-1"), order("o-2")]).to_string();
        assert_eq!(pipeline.post_with(&[("traceparent", &parent)], batch).await.status().as_u16(), 201);
    }
    // Nobody's trace: it is projected in the same batch, and has no link.
    let unsampled = traceparent(TRACE, "00");
    pipeline.post_with(&[("traceparent", &unsampled)], order("o-3").to_string()).await;
    let sends = collector.wanted(3, |span| span.span.name == "send events:orders").await;
    assert!(sends.iter().all(|send| send.attribute("messaging.batch.message_count") == "2"));

    // One consumer: what waits is one batch.
    let _analytics = pipeline.start_named(Role::Analytics, &["a"]);
    pipeline.settled_by(&["analytics"]).await;
    let batch = collector.wanted(1, |span| span.service == "analytics-worker").await.remove(0);
    assert_eq!(batch.attribute("messaging.batch.message_count"), "7");
    let mut linked = batch.links();
    let mut sent: Vec<String> = sends.iter().map(super::collector::Received::id).collect();
    linked.sort_unstable();
    sent.sort_unstable();
    assert_eq!(linked, sent);
    assert!(!traces.contains(&batch.trace()), "it is none of theirs");
    assert_eq!(batch.parent(), "");
}
