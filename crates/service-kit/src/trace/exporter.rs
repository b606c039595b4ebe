//! How spans leave: a bounded queue, a thread of its own, and a count of what became of them. Nothing here waits for the
//! collector but that thread.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};
use prometheus::{IntCounter, IntCounterVec, Opts};

/// Spans that wait for the collector at most; further ones are dropped.
const QUEUE_MAX: usize = 2_048;
/// One cause is logged this often while it lasts.
const LOG_INTERVAL: Duration = Duration::from_mins(10);
/// Causes that are told apart.
const CAUSES_MAX: usize = 8;

/// What became of spans, by outcome.
#[derive(Debug, Clone)]
pub(crate) struct SpanCounts {
    family: IntCounterVec,
    exported: IntCounter,
    failed: IntCounter,
    dropped: IntCounter,
}

impl SpanCounts {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let opts = Opts::new(
            "trace_spans_total",
            "Recorded spans by what became of them: exported; failed, as the collector did not take them; dropped, as \
             too many were waiting.",
        );
        let family = IntCounterVec::new(opts, &["outcome"])?;
        let outcome = |outcome| family.with_label_values(&[outcome]);
        Ok(Self {
            exported: outcome("exported"),
            failed: outcome("failed"),
            dropped: outcome("dropped"),
            family,
        })
    }

    /// For the registry.
    pub(crate) fn collector(&self) -> IntCounterVec {
        self.family.clone()
    }
}

/// What the two ends of the queue share.
#[derive(Debug)]
struct Shared {
    counts: SpanCounts,
    endpoint: String,
    /// Ended and not yet exported.
    waiting: AtomicUsize,
    trouble: Mutex<Trouble>,
}

/// What was complained of, and when.
#[derive(Debug, Default)]
struct Trouble {
    lasts: bool,
    logged: Vec<(String, Instant)>,
}

impl Trouble {
    /// Whether this failure is to be logged; then it counts as logged.
    fn is_due(&mut self, cause: &str, now: Instant) -> bool {
        self.lasts = true;
        let known = self.logged.iter().position(|(known, _)| known == cause);
        let due = match known {
            Some(at) => now.duration_since(self.logged[at].1) >= LOG_INTERVAL,
            None => self.logged.len() < CAUSES_MAX,
        };
        match known {
            Some(at) if due => self.logged[at].1 = now,
            None if due => self.logged.push((cause.to_owned(), now)),
            _ => {}
        }
        due
    }
}

impl Shared {
    fn complain(&self, cause: &str, lost: u64) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let due = trouble.is_due(cause, Instant::now());
        drop(trouble);
        if due {
            tracing::warn!(
                error = cause,
                endpoint = self.endpoint,
                lost,
                "spans are lost; further ones are counted in trace_spans_total, and work goes on"
            );
        }
    }

    fn works(&self) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let lasted = std::mem::take(&mut trouble.lasts);
        drop(trouble);
        if lasted {
            tracing::info!(endpoint = self.endpoint, "spans are exported again");
        }
    }
}

/// Queues what has ended, as far as there is room.
#[derive(Debug)]
pub(super) struct Queued {
    shared: Arc<Shared>,
    inner: BatchSpanProcessor,
}

impl Queued {
    /// A queue before `exporter`, whose thread it starts. `OTEL_BSP_SCHEDULE_DELAY` and
    /// `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` are heeded.
    pub(super) fn new(exporter: impl SpanExporter + 'static, endpoint: &str, counts: SpanCounts) -> Self {
        let shared = Arc::new(Shared {
            counts,
            endpoint: endpoint.to_owned(),
            waiting: AtomicUsize::new(0),
            trouble: Mutex::default(),
        });
        let config = BatchConfigBuilder::default().with_max_queue_size(QUEUE_MAX).build();
        let inner = BatchSpanProcessor::new(Counted { shared: Arc::clone(&shared), inner: exporter }, config);
        Self { shared, inner }
    }
}

impl SpanProcessor for Queued {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.shared.waiting.fetch_add(1, Ordering::Relaxed) >= QUEUE_MAX {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            self.shared.counts.dropped.inc();
            self.shared.complain("the collector is too slow: the queue is full", 1);
            return;
        }
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        let result = self.inner.shutdown_with_timeout(timeout);
        let left = self.shared.waiting.load(Ordering::Relaxed);
        if left > 0 {
            tracing::warn!(
                spans = left,
                endpoint = self.shared.endpoint,
                "spans still waiting at shutdown are lost"
            );
        }
        result
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Counts what goes out.
#[derive(Debug)]
struct Counted<E> {
    shared: Arc<Shared>,
    inner: E,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let result = self.inner.export(batch).await;
        self.shared.waiting.fetch_sub(count, Ordering::Relaxed);
        match &result {
            Ok(()) => {
                self.shared.counts.exported.inc_by(count as u64);
                self.shared.works();
            }
            Err(error) => {
                self.shared.counts.failed.inc_by(count as u64);
                self.shared.complain(&error.to_string(), count as u64);
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cause_is_logged_once_in_a_while_and_causes_are_bounded() {
        let (mut trouble, start) = (Trouble::default(), Instant::now());
        let lines = (0..1_000).filter(|n| trouble.is_due("away", start + Duration::from_secs(1) * *n));
        assert_eq!(lines.count(), 2, "in 17 minutes");
        let lines = (0..100).filter(|n| trouble.is_due(&format!("cause {n}"), start));
        assert_eq!(lines.count(), CAUSES_MAX - 1);
    }
}
