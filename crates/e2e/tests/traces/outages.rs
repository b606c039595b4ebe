//! A collector that is away costs spans and nothing else; one that is there gets what is left at the end.

use e2e::Role;
use nix::sys::signal::Signal;
use serde_json::json;
use testkit::{eventually, free_port};

use crate::{
    collector::{Collector, SOON},
    stream::{TRACE, lines, order, traceparent},
};

#[tokio::test]
async fn without_a_collector_work_goes_on_and_the_log_says_so_once() {
    let collector = Collector::start().await;
    let mut pipeline = collector.pipeline().await;
    pipeline.set("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{}", free_port()));
    let [mut producer, notifications] = pipeline.start_all([Role::Producer, Role::Notifications]).await;
    for round in 0..3 {
        for _ in 0..20 {
            let answer = pipeline.post_with(&[], order("o-1").to_string()).await;
            assert_eq!(answer.status().as_u16(), 201);
        }
        eventually(SOON, "lost spans are counted", async || {
            let lost = producer.metric("trace_spans_total{outcome=\"failed\"}").await;
            // Server, send and write of each.
            let expected = f64::from((round + 1) * 20 * 3);
            if lost >= expected { Ok(()) } else { Err(format!("{lost} of {expected}")) }
        })
        .await;
    }
    pipeline.settled_by(&["notifications"]).await;
    for service in [&producer, &notifications] {
        let complaints =
            lines(&service.log()).iter().filter(|line| line["level"] == "WARN").cloned().collect::<Vec<_>>();
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0]["message"].as_str().unwrap_or_default().starts_with("spans are lost"));
    }
    producer.signal(Signal::SIGTERM);
    assert!(producer.exit().await.success());
}

#[tokio::test]
async fn sigterm_exports_what_is_left() {
    let collector = Collector::start().await;
    let mut pipeline = collector.pipeline().await;
    pipeline.set("OTEL_BSP_SCHEDULE_DELAY", "600000");
    let [mut producer] = pipeline.start_all([Role::Producer]).await;
    let batch = json!([order("o-1"), order("o-2")]).to_string();
    pipeline.post_with(&[("traceparent", &traceparent(TRACE, "01"))], batch).await;
    assert_eq!(collector.spans().len(), 0, "not due");
    producer.signal(Signal::SIGTERM);
    assert!(producer.exit().await.success());
    assert_eq!(collector.trace(TRACE, 3).await.len(), 3);
}
