//! Sampling is honoured: what is not to be recorded is not exported, and says so to whoever comes next.

use e2e::{Pipeline, Role, Service};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    collector::{Collector, Received},
    stream::{TRACE, lines, order, traceparent},
};

const ROLES: [Role; 3] = [Role::Producer, Role::Notifications, Role::Analytics];

/// Posts an event with this `traceparent`, if any, and returns what its entry says.
async fn posted(pipeline: &Pipeline, parent: Option<&str>) -> Option<String> {
    let headers: Vec<_> = parent.map(|parent| ("traceparent", parent)).into_iter().collect();
    let answer: Value =
        pipeline.post_with(&headers, order("o-1").to_string()).await.json().await.expect("JSON");
    pipeline.entry(answer["id"].as_str().expect("it is stored")).await.remove("_traceparent")
}

/// Ends the services, which exports whatever they still hold, and returns all that was exported.
async fn all_spans(collector: &Collector, pipeline: &Pipeline, services: &mut [Service]) -> Vec<Received> {
    pipeline.settled().await;
    for service in services {
        service.signal(Signal::SIGTERM);
        assert!(service.exit().await.success());
    }
    collector.spans()
}

#[tokio::test]
async fn always_off_exports_nothing_and_tells_those_behind() {
    let collector = Collector::start().await;
    let mut pipeline = collector.pipeline().await;
    pipeline.set("OTEL_TRACES_SAMPLER", "always_off");
    let mut services = pipeline.start_all(ROLES).await;
    assert_eq!(posted(&pipeline, None).await, None);
    let passed_on = posted(&pipeline, Some(&traceparent(TRACE, "01"))).await.expect("it is passed on");
    assert!(passed_on.starts_with(&format!("00-{TRACE}-")) && passed_on.ends_with("-00"), "{passed_on}");
    assert_ne!(passed_on, traceparent(TRACE, "00"), "whoever changes the flag gives an ID of its own");
    assert_eq!(all_spans(&collector, &pipeline, &mut services).await.len(), 0);
}

#[tokio::test]
async fn an_unsampled_parent_is_not_recorded_and_a_sampled_one_is() {
    let collector = Collector::start().await;
    let mut pipeline = collector.pipeline().await;
    pipeline.set("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
    pipeline.set("OTEL_TRACES_SAMPLER_ARG", "0");
    let mut services = pipeline.start_all(ROLES).await;
    let unsampled = traceparent(&"5".repeat(32), "00");
    assert_eq!(posted(&pipeline, Some(&unsampled)).await.as_deref(), Some(unsampled.as_str()));
    assert_eq!(posted(&pipeline, None).await, None);
    posted(&pipeline, Some(&traceparent(TRACE, "01"))).await;
    let spans = all_spans(&collector, &pipeline, &mut services).await;
    assert!(spans.iter().all(|span| span.trace() == TRACE), "{spans:?}");
    assert_eq!(spans.len(), 6);
}

#[tokio::test]
async fn a_ratio_records_that_share_of_the_traces_whole() {
    let collector = Collector::start().await;
    let mut pipeline = collector.pipeline().await;
    pipeline.set("OTEL_TRACES_SAMPLER", "traceidratio");
    pipeline.set("OTEL_TRACES_SAMPLER_ARG", "0.3");
    let mut services = pipeline.start_all(ROLES).await;
    let mut traced = 0;
    for _ in 0..200 {
        traced += usize::from(posted(&pipeline, None).await.is_some());
    }
    // Six standard deviations to both sides.
    assert!((21..=99).contains(&traced), "{traced} of 200");
    let spans = all_spans(&collector, &pipeline, &mut services).await;
    let count = |service: &str, name: &str| {
        spans.iter().filter(|span| span.service == service && span.span.name == name).count()
    };
    assert_eq!(count("producer-api", "send events:orders"), traced);
    assert_eq!(count("notifications-worker", "process events:orders"), traced);
    assert_eq!(count("notifications-worker", "ack events:orders"), traced);
}

#[tokio::test]
async fn without_an_exporter_a_client_s_trace_is_passed_on_all_the_same() {
    let mut pipeline = Pipeline::new().await;
    pipeline.set("ORDERFLOW__LOG__FORMAT", "json");
    let _services = pipeline.start_all(ROLES).await;
    assert_eq!(posted(&pipeline, None).await, None);
    let parent = traceparent(TRACE, "01");
    assert_eq!(posted(&pipeline, Some(&parent)).await.as_deref(), Some(parent.as_str()));
    for invalid in ["", "00-0-0-01", &parent.replace("00-", "ff-"), &parent.to_uppercase()] {
        assert_eq!(posted(&pipeline, Some(invalid)).await, None, "{invalid}");
    }
    let mut event = order("o-1");
    event["_traceparent"] = json!(parent);
    assert_eq!(
        pipeline.post_with(&[], event.to_string()).await.status().as_u16(),
        422,
        "it is the pipeline's"
    );
}

#[tokio::test]
async fn a_value_that_cannot_be_used_leaves_traces_off_and_says_so() {
    let collector = Collector::start().await;
    let mut pipeline = collector.pipeline().await;
    pipeline.set("OTEL_TRACES_SAMPLER", "sometimes");
    let [producer] = pipeline.start_all([Role::Producer]).await;
    assert_eq!(posted(&pipeline, None).await, None);
    let lines = lines(&producer.log());
    let line = lines.iter().find(|line| line["message"] == "traces stay off").expect("it says so");
    let error = line["error"].as_str().unwrap_or_default();
    assert!(error.starts_with("OTEL_TRACES_SAMPLER is \"sometimes\"; allowed: "), "{error}");
}
