//! The stream's and its groups' series, shown by the active reaper alone.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{
    GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use crate::observe::{Observation, ObservedGroup};

/// The latest reading. Each scrape is made from one whole reading, so that no series is ever half gone, and
/// none outlives its group or consumer.
#[derive(Debug, Clone)]
pub(crate) struct GroupMetrics {
    stream: String,
    latest: Arc<Mutex<Option<Observation>>>,
}

impl GroupMetrics {
    /// Registers the series of the stream at `stream`; there are none until the first reading.
    pub(crate) fn register(registry: &Registry, stream: &str) -> Result<Self, prometheus::Error> {
        let metrics = Self { stream: stream.to_owned(), latest: Arc::default() };
        // Names and labels are constants; a mistake in them is found here, not in a scrape.
        Series::new()?;
        registry.register(Box::new(metrics.clone()))?;
        Ok(metrics)
    }

    /// Shows a reading in place of the last one.
    pub(crate) fn show(&self, observation: Observation) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(observation);
    }

    /// Shows nothing: a reaper that stands by must not repeat what it last saw.
    pub(crate) fn clear(&self) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Collector for GroupMetrics {
    fn desc(&self) -> Vec<&Desc> {
        // The series come and go with the reading, so none is described in advance.
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(observation), Ok(series)) = (&*latest, Series::new()) else { return Vec::new() };
        series.fill(&self.stream, observation);
        series.collect()
    }
}

/// The series of one scrape, named as `redis_exporter` names them.
struct Series {
    length: IntGaugeVec,
    entries_added: IntCounterVec,
    lag: IntGaugeVec,
    lag_known: IntGaugeVec,
    lag_seconds: GaugeVec,
    pending: IntGaugeVec,
    oldest_pending_seconds: GaugeVec,
    consumers: IntGaugeVec,
    dead_letters: IntGaugeVec,
    consumer_pending: IntGaugeVec,
    consumer_idle_seconds: GaugeVec,
}

const STREAM: &[&str] = &["stream"];
const GROUP: &[&str] = &["stream", "group"];
const CONSUMER: &[&str] = &["stream", "group", "consumer"];

impl Series {
    fn new() -> Result<Self, prometheus::Error> {
        let ints = |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let floats = |name: &str, help: &str, labels: &[&str]| GaugeVec::new(Opts::new(name, help), labels);
        Ok(Self {
            length: ints("stream_length", "Entries in the stream", STREAM)?,
            entries_added: IntCounterVec::new(
                Opts::new("stream_entries_added_total", "Entries ever added to the stream"),
                STREAM,
            )?,
            lag: ints("stream_group_lag", "Entries not delivered to the group; absent while unknown", GROUP)?,
            lag_known: ints("stream_group_lag_known", "1 if the group's lag is known", GROUP)?,
            lag_seconds: floats(
                "stream_group_lag_seconds",
                "Age of the oldest entry not delivered to the group",
                GROUP,
            )?,
            pending: ints("stream_group_messages_pending", "Entries delivered and not acked", GROUP)?,
            oldest_pending_seconds: floats(
                "stream_group_oldest_pending_age_seconds",
                "Age of the oldest entry delivered and not acked",
                GROUP,
            )?,
            consumers: ints("stream_group_consumers", "Consumers of the group", GROUP)?,
            dead_letters: ints("stream_dead_letters", "Dead letters of the group", GROUP)?,
            consumer_pending: ints(
                "stream_group_consumer_messages_pending",
                "Entries delivered to the consumer and not acked",
                CONSUMER,
            )?,
            consumer_idle_seconds: floats(
                "stream_group_consumer_idle_seconds",
                "Time since the consumer last tried to read",
                CONSUMER,
            )?,
        })
    }

    fn fill(&self, stream: &str, observation: &Observation) {
        self.length.with_label_values(&[stream]).set(observation.stream.length as i64);
        self.entries_added.with_label_values(&[stream]).inc_by(observation.stream.entries_added);
        for group in &observation.groups {
            self.fill_group(stream, group);
        }
    }

    fn fill_group(&self, stream: &str, group: &ObservedGroup) {
        let labels = [stream, group.info.name.as_str()];
        if let Some(lag) = group.lag.known() {
            self.lag.with_label_values(&labels).set(lag as i64);
        }
        self.lag_known.with_label_values(&labels).set(i64::from(group.lag.known().is_some()));
        self.lag_seconds.with_label_values(&labels).set(group.lag_age.as_secs_f64());
        self.pending.with_label_values(&labels).set(group.info.pending as i64);
        self.consumers.with_label_values(&labels).set(group.info.consumers as i64);
        let Some(named) = &group.named else { return };
        self.oldest_pending_seconds.with_label_values(&labels).set(named.oldest_pending_age.as_secs_f64());
        self.dead_letters.with_label_values(&labels).set(named.dead_letters as i64);
        for consumer in &named.consumers {
            let labels = [labels[0], labels[1], consumer.name.as_str()];
            self.consumer_pending.with_label_values(&labels).set(consumer.pending as i64);
            self.consumer_idle_seconds.with_label_values(&labels).set(consumer.idle.as_secs_f64());
        }
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let all: [&dyn Collector; 11] = [
            &self.length,
            &self.entries_added,
            &self.lag,
            &self.lag_known,
            &self.lag_seconds,
            &self.pending,
            &self.oldest_pending_seconds,
            &self.consumers,
            &self.dead_letters,
            &self.consumer_pending,
            &self.consumer_idle_seconds,
        ];
        all.into_iter().flat_map(Collector::collect).collect()
    }
}
