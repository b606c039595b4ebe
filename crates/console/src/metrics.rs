//! What the service counts. Every series exists at 0 from the start; labels come from closed sets.

use std::{collections::HashMap, sync::Arc, time::Duration};

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::Collector, exponential_buckets,
};

/// The label of what is no route.
const OTHER: &str = "other";
const STATUS_CLASSES: [&str; 3] = ["2xx", "4xx", "5xx"];

/// What can be listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    Live,
    Tail,
}

impl Feed {
    const LABELS: [&'static str; 2] = ["live", "tail"];
}

/// The metrics of the service. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// By method and path of each route, then by status class.
    requests: HashMap<String, [IntCounter; 3]>,
    other: [IntCounter; 3],
    request_seconds: Histogram,
    subscribers: [IntGauge; 2],
    skipped: IntCounter,
    look_seconds: Histogram,
    looks: [IntCounter; 2],
}

impl Metrics {
    /// Registers every metric; `routes` are all that there are, such as `GET /api/state`.
    pub(crate) fn register(
        registry: &Registry,
        routes: impl IntoIterator<Item = String>,
    ) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new("console_requests_total", "Requests by route and by the class of the answer's status"),
            &["route", "status"],
        )?;
        let request_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "console_request_duration_seconds",
                "Time from a request's head to the answer's, of all routes",
            )
            .buckets(buckets()?),
        )?;
        let subscribers = IntGaugeVec::new(
            Opts::new("console_subscribers", "Connections that listen, by what they listen to"),
            &["feed"],
        )?;
        let skipped = IntCounter::new(
            "console_tail_skipped_total",
            "Entries of the live tail that a subscriber missed since it was too slow",
        )?;
        let look_seconds = Histogram::with_opts(
            HistogramOpts::new("console_look_duration_seconds", "Time that one look at the pipeline took")
                .buckets(buckets()?),
        )?;
        let looks = IntCounterVec::new(
            Opts::new("console_looks_total", "Looks at the pipeline, by whether Redis answered"),
            &["redis"],
        )?;
        let collectors: [Box<dyn Collector>; 6] = [
            Box::new(requests.clone()),
            Box::new(request_seconds.clone()),
            Box::new(subscribers.clone()),
            Box::new(skipped.clone()),
            Box::new(look_seconds.clone()),
            Box::new(looks.clone()),
        ];
        collectors.into_iter().try_for_each(|collector| registry.register(collector))?;
        let by_class = |route: &str| STATUS_CLASSES.map(|class| requests.with_label_values(&[route, class]));
        Ok(Self(Arc::new(Inner {
            other: by_class(OTHER),
            requests: routes.into_iter().map(|route| (route.clone(), by_class(&route))).collect(),
            request_seconds,
            subscribers: Feed::LABELS.map(|feed| subscribers.with_label_values(&[feed])),
            skipped,
            look_seconds,
            looks: ["away", "answers"].map(|redis| looks.with_label_values(&[redis])),
        })))
    }

    /// Counts one answered request; a route that is none of the known ones is `other`.
    pub(crate) fn request(&self, route: &str, status: u16, took: Duration) {
        let class = match status {
            ..400 => 0,
            400..500 => 1,
            _ => 2,
        };
        self.0.requests.get(route).unwrap_or(&self.0.other)[class].inc();
        self.0.request_seconds.observe(took.as_secs_f64());
    }

    /// Counts a subscriber until the guard is dropped.
    pub(crate) fn subscribed(&self, feed: Feed) -> SubscriberGuard {
        let gauge = self.0.subscribers[feed as usize].clone();
        gauge.inc();
        SubscriberGuard(gauge)
    }

    /// Counts entries that a subscriber missed.
    pub(crate) fn skipped(&self, entries: u64) {
        self.0.skipped.inc_by(entries);
    }

    /// Times one look at the pipeline.
    pub(crate) fn looked(&self, took: Duration, redis_answers: bool) {
        self.0.look_seconds.observe(took.as_secs_f64());
        self.0.looks[usize::from(redis_answers)].inc();
    }
}

/// A connection that listens.
#[derive(Debug)]
pub(crate) struct SubscriberGuard(IntGauge);

impl Drop for SubscriberGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// 0.25 ms to about 8 s.
fn buckets() -> Result<Vec<f64>, prometheus::Error> {
    exponential_buckets(0.000_25, 2.0, 16)
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn every_series_is_there_at_zero_and_strange_routes_are_other() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry, ["GET /api/state".to_owned()]).unwrap();
        let text = || TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "console_requests_total{route=\"GET /api/state\",status=\"5xx\"} 0",
            "console_requests_total{route=\"other\",status=\"2xx\"} 0",
            "console_subscribers{feed=\"tail\"} 0",
            "console_looks_total{redis=\"away\"} 0",
            "console_tail_skipped_total 0",
            "console_look_duration_seconds_count 0",
        ] {
            assert!(text().contains(line), "{line} not in {}", text());
        }
        metrics.request("GET /api/state", 304, Duration::ZERO);
        metrics.request("GET /x", 404, Duration::ZERO);
        let listening = metrics.subscribed(Feed::Live);
        assert!(text().contains("console_requests_total{route=\"GET /api/state\",status=\"2xx\"} 1"));
        assert!(text().contains("console_requests_total{route=\"other\",status=\"4xx\"} 1"));
        assert!(text().contains("console_subscribers{feed=\"live\"} 1"));
        drop(listening);
        assert!(text().contains("console_subscribers{feed=\"live\"} 0"));
    }
}
