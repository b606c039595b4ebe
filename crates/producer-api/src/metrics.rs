//! What the service counts. Every series exists at 0 from the start; labels come from closed sets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use order_events::{EventType, EventTypes, OrderEvent};
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, core::Collector, exponential_buckets,
};
use service_kit::config::Durability;
use stream_core::ErrorKind;

use crate::{admission::Cap, dedup::KeyKind};

/// The label of a type that is not configured.
const OTHER_TYPE: &str = "other";

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventOutcome {
    /// It is in the stream.
    Stored,
    /// The client's fault: it broke a rule.
    Rejected,
    /// Our fault: it is not in the stream.
    Failed,
    /// Redis did not answer: it may be in the stream.
    Unknown,
    /// The stream is at a hard cap of retention: it was not written.
    Throttled,
    /// It was in the stream already, under the same key: it was not written again.
    Replayed,
    /// Another event is in the stream under its key: it was not written.
    Conflict,
}

impl EventOutcome {
    const LABELS: [&'static str; 7] =
        ["stored", "rejected", "failed", "unknown", "throttled", "replayed", "conflict"];
}

/// Why a subscriber of the tail was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TailDrop {
    /// It took events more slowly than they came.
    Slow,
    /// The service stops.
    Shutdown,
}

impl TailDrop {
    const LABELS: [&'static str; 2] = ["slow", "shutdown"];
}

/// Counts a subscriber of the tail as long as it exists.
#[derive(Debug)]
pub(crate) struct Subscribed(IntGauge);

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The routes that requests are timed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Publish,
    List,
    Get,
    Tail,
    Other,
}

impl Route {
    const LABELS: [&'static str; 5] =
        ["POST /v1/events", "GET /v1/events", "GET /v1/events/{id}", "GET /v1/events/tail", OTHER_TYPE];
}

/// What became of a pipeline that was to be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confirmation {
    /// The replicas or the disk have it.
    Confirmed,
    /// Not in time; it is stored all the same.
    NotConfirmed,
    /// The server cannot confirm: nothing was written.
    Impossible,
}

impl Confirmation {
    const LABELS: [&'static str; 3] = ["confirmed", "not_confirmed", "impossible"];
}

/// What can be waited for.
const DURABILITIES: [Durability; 2] = [Durability::Replica, Durability::Fsync];

const STATUS_CLASSES: [&str; 3] = ["2xx", "4xx", "5xx"];

/// The metrics of the service. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    types: EventTypes,
    /// By type in the configured order, `other` last; then by [`EventOutcome`].
    events: Vec<[IntCounter; EventOutcome::LABELS.len()]>,
    /// By [`Route`], then by status class.
    requests: [[Histogram; 3]; Route::LABELS.len()],
    append_seconds: Histogram,
    append_batch_size: Histogram,
    queue_events: IntGauge,
    /// What waits in each queue, by [`Durability`].
    queued: [AtomicI64; 3],
    /// By [`KeyKind`].
    forgotten: [IntCounter; KeyKind::ALL.len()],
    /// By [`DURABILITIES`], then by [`Confirmation`].
    confirmations: [[IntCounter; 3]; DURABILITIES.len()],
    admission_closed: [IntGauge; Cap::ALL.len()],
    cap_used: [Gauge; Cap::ALL.len()],
    tail_subscribers: IntGauge,
    /// By [`TailDrop`].
    tail_dropped: [IntCounter; 2],
    redis_errors: [IntCounter; ErrorKind::ALL.len()],
}

impl Metrics {
    /// Registers every metric, with the configured types as labels.
    pub(crate) fn register(registry: &Registry, types: &EventTypes) -> Result<Self, prometheus::Error> {
        let events = IntCounterVec::new(
            Opts::new("producer_events_total", "Events by type and by what became of them"),
            &["type", "outcome"],
        )?;
        let requests = HistogramVec::new(
            HistogramOpts::new(
                "producer_request_duration_seconds",
                "Time from a request's head to the answer's, by route and status class",
            )
            .buckets(latency_buckets()?),
            &["route", "status"],
        )?;
        let append_seconds = Histogram::with_opts(
            HistogramOpts::new("producer_append_duration_seconds", "Time that Redis took for one pipeline")
                .buckets(latency_buckets()?),
        )?;
        let batch_sizes = vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];
        let append_batch_size = Histogram::with_opts(
            HistogramOpts::new("producer_append_batch_size", "Events written together in one pipeline")
                .buckets(batch_sizes),
        )?;
        let queue_events = IntGauge::new("producer_queue_events", "Events waiting to be written")?;
        let admission_closed = IntGaugeVec::new(
            Opts::new(
                "producer_admission_closed",
                "1 while producers get 429 because the stream is at this hard cap of retention",
            ),
            &["cap"],
        )?;
        let cap_used = GaugeVec::new(
            Opts::new(
                "producer_cap_used_ratio",
                "How much of this hard cap of retention is used; 1: producers get 429. 0 where nothing is capped",
            ),
            &["cap"],
        )?;
        let (forgotten, confirmations) = (forgotten()?, confirmations()?);
        let tail_subscribers = IntGauge::new(
            "producer_tail_subscribers",
            "Connections that listen to the live tail, GET /v1/events/tail",
        )?;
        let tail_dropped = IntCounterVec::new(
            Opts::new(
                "producer_tail_dropped_total",
                "Subscribers of the live tail that were dropped: slow ones, and all when the service stops",
            ),
            &["reason"],
        )?;
        let redis_errors = IntCounterVec::new(
            Opts::new("producer_redis_errors_total", "Failed Redis operations by kind"),
            &["kind"],
        )?;

        let labels = types.iter().map(EventType::as_str).chain([OTHER_TYPE]);
        let inner = Inner {
            types: types.clone(),
            events: labels
                .map(|name| EventOutcome::LABELS.map(|outcome| events.with_label_values(&[name, outcome])))
                .collect(),
            requests: Route::LABELS
                .map(|route| STATUS_CLASSES.map(|class| requests.with_label_values(&[route, class]))),
            append_seconds: append_seconds.clone(),
            append_batch_size: append_batch_size.clone(),
            queue_events: queue_events.clone(),
            queued: Default::default(),
            forgotten: KeyKind::ALL.map(|kind| forgotten.with_label_values(&[kind.label()])),
            confirmations: DURABILITIES.map(|durability| {
                Confirmation::LABELS
                    .map(|outcome| confirmations.with_label_values(&[durability.as_str(), outcome]))
            }),
            admission_closed: Cap::ALL.map(|cap| admission_closed.with_label_values(&[cap.label()])),
            cap_used: Cap::ALL.map(|cap| cap_used.with_label_values(&[cap.label()])),
            tail_subscribers: tail_subscribers.clone(),
            tail_dropped: TailDrop::LABELS.map(|reason| tail_dropped.with_label_values(&[reason])),
            redis_errors: ErrorKind::ALL.map(|kind| redis_errors.with_label_values(&[kind.label()])),
        };
        let collectors: [Box<dyn Collector>; 12] = [
            Box::new(forgotten),
            Box::new(confirmations),
            Box::new(events),
            Box::new(requests),
            Box::new(append_seconds),
            Box::new(append_batch_size),
            Box::new(queue_events),
            Box::new(admission_closed),
            Box::new(cap_used),
            Box::new(tail_subscribers),
            Box::new(tail_dropped),
            Box::new(redis_errors),
        ];
        collectors.into_iter().try_for_each(|collector| registry.register(collector))?;
        Ok(Self(Arc::new(inner)))
    }

    /// Counts one event whose type is known.
    pub(crate) fn event(&self, event: &OrderEvent, outcome: EventOutcome) {
        let inner = &*self.0;
        let position = inner.types.iter().position(|known| *known == event.event_type);
        inner.events[position.unwrap_or(inner.events.len() - 1)][outcome as usize].inc();
    }

    /// Counts events that broke the rules. Their type is not trusted, so all of them are `other`.
    pub(crate) fn rejected(&self, events: usize) {
        let other = &self.0.events[self.0.events.len() - 1];
        other[EventOutcome::Rejected as usize].inc_by(events as u64);
    }

    /// Times one answered request.
    pub(crate) fn request(&self, route: Route, status: u16, took: Duration) {
        let class = match status {
            ..400 => 0,
            400..500 => 1,
            _ => 2,
        };
        self.0.requests[route as usize][class].observe(took.as_secs_f64());
    }

    /// Records one pipeline.
    pub(crate) fn append(&self, events: usize, took: Duration) {
        self.0.append_batch_size.observe(events as f64);
        self.0.append_seconds.observe(took.as_secs_f64());
    }

    /// Shows how many events wait, in this queue and in the others.
    pub(crate) fn queued(&self, durability: Durability, events: usize) {
        let queued = &self.0.queued;
        queued[durability as usize].store(events as i64, Ordering::Relaxed);
        self.0.queue_events.set(queued.iter().map(|events| events.load(Ordering::Relaxed)).sum());
    }

    /// Counts keys that were forgotten before their time, by [`KeyKind`].
    pub(crate) fn forgotten(&self, keys: [u64; KeyKind::ALL.len()]) {
        for (counter, keys) in self.0.forgotten.iter().zip(keys) {
            if keys > 0 {
                counter.inc_by(keys);
            }
        }
    }

    /// Counts a pipeline that was to be confirmed.
    pub(crate) fn confirmation(&self, durability: Durability, confirmation: Confirmation) {
        if let Some(at) = DURABILITIES.iter().position(|known| *known == durability) {
            self.0.confirmations[at][confirmation as usize].inc();
        }
    }

    /// Shows how much of a hard cap is used, and whether it refuses events.
    pub(crate) fn cap(&self, cap: Cap, used: u64, limit: u64, closed: bool) {
        self.0.admission_closed[cap as usize].set(i64::from(closed));
        let capped = limit > 0 && limit < u64::MAX;
        let ratio = if capped { used as f64 / limit as f64 } else { 0.0 };
        self.0.cap_used[cap as usize].set(ratio);
    }

    /// Counts a subscriber of the tail until the returned value is dropped.
    pub(crate) fn subscribed(&self) -> Subscribed {
        self.0.tail_subscribers.inc();
        Subscribed(self.0.tail_subscribers.clone())
    }

    /// Counts a subscriber of the tail that is dropped.
    pub(crate) fn tail_dropped(&self, reason: TailDrop) {
        self.0.tail_dropped[reason as usize].inc();
    }

    /// Counts a Redis operation that failed.
    pub(crate) fn redis_error(&self, kind: ErrorKind) {
        let position = ErrorKind::ALL.iter().position(|known| *known == kind);
        if let Some(counter) = position.and_then(|at| self.0.redis_errors.get(at)) {
            counter.inc();
        }
    }
}

fn forgotten() -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(
        Opts::new(
            "producer_dedup_forgotten_total",
            "Keys forgotten within their window because more came than are remembered, by where the key comes from",
        ),
        &["key"],
    )
}

fn confirmations() -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(
        Opts::new(
            "producer_durability_total",
            "Pipelines that were to be on replicas or on disk, by what was asked and what became of it",
        ),
        &["durability", "outcome"],
    )
}

/// 0.25 ms to about 8 s.
fn latency_buckets() -> Result<Vec<f64>, prometheus::Error> {
    exponential_buckets(0.000_25, 2.0, 16)
}

#[cfg(test)]
mod tests {
    use order_events::{ParseContext, parse_event};
    use prometheus::TextEncoder;

    use super::*;

    fn text(registry: &Registry) -> String {
        TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    #[test]
    fn every_series_is_there_at_zero() {
        let registry = Registry::new();
        let types = EventTypes::new(["order.paid", "order.refunded"].map(str::to_owned)).unwrap();
        Metrics::register(&registry, &types).unwrap();
        let text = text(&registry);
        for name in ["order.paid", "order.refunded", "other"] {
            for outcome in EventOutcome::LABELS {
                let line = format!("producer_events_total{{outcome=\"{outcome}\",type=\"{name}\"}} 0");
                assert!(text.contains(&line), "{line} not in {text}");
            }
        }
        assert!(!text.contains("order.placed"), "only configured types are labels");
        for route in Route::LABELS {
            for class in STATUS_CLASSES {
                let line = format!(
                    "producer_request_duration_seconds_count{{route=\"{route}\",status=\"{class}\"}} 0"
                );
                assert!(text.contains(&line), "{line} not in {text}");
            }
        }
        for cap in Cap::ALL.map(Cap::label) {
            assert!(text.contains(&format!("producer_admission_closed{{cap=\"{cap}\"}} 0")), "{text}");
            assert!(text.contains(&format!("producer_cap_used_ratio{{cap=\"{cap}\"}} 0")), "{text}");
        }
        for key in KeyKind::ALL.map(KeyKind::label) {
            assert!(text.contains(&format!("producer_dedup_forgotten_total{{key=\"{key}\"}} 0")), "{text}");
        }
        for outcome in Confirmation::LABELS {
            let line = format!("producer_durability_total{{durability=\"fsync\",outcome=\"{outcome}\"}} 0");
            assert!(text.contains(&line), "{line} not in {text}");
        }
        assert!(text.contains("producer_append_batch_size_count 0"));
        assert!(text.contains("producer_tail_subscribers 0"));
        for reason in TailDrop::LABELS {
            assert!(
                text.contains(&format!("producer_tail_dropped_total{{reason=\"{reason}\"}} 0")),
                "{text}"
            );
        }
        assert!(text.contains("producer_append_duration_seconds_count 0"));
        assert!(text.contains("producer_redis_errors_total{kind=\"out_of_memory\"} 0"));
    }

    #[test]
    fn a_cap_without_a_limit_is_not_used_at_all() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry, &EventTypes::default()).unwrap();
        metrics.cap(Cap::Entries, 40, 50, false);
        metrics.cap(Cap::Memory, 40, 0, false);
        let shown = text(&registry);
        assert!(shown.contains("producer_cap_used_ratio{cap=\"entries\"} 0.8"), "{shown}");
        assert!(shown.contains("producer_cap_used_ratio{cap=\"memory\"} 0\n"), "{shown}");
        metrics.cap(Cap::Memory, 40, u64::MAX, false);
        assert!(text(&registry).contains("producer_cap_used_ratio{cap=\"memory\"} 0\n"));
    }

    #[test]
    fn events_are_counted_by_configured_type() {
        let registry = Registry::new();
        let types = EventTypes::new(["order.refunded".to_owned()]).unwrap();
        let metrics = Metrics::register(&registry, &types).unwrap();
        let json = br#"{"type":"order.refunded","order_id":"o","customer":"c","amount":1}"#;
        let event = parse_event(json, &ParseContext { types: &types, now_ms: 1 }).unwrap();
        metrics.event(&event, EventOutcome::Stored);
        metrics.rejected(3);
        let text = text(&registry);
        assert!(
            text.contains("producer_events_total{outcome=\"stored\",type=\"order.refunded\"} 1"),
            "{text}"
        );
        assert!(text.contains("producer_events_total{outcome=\"rejected\",type=\"other\"} 3"), "{text}");
    }
}
