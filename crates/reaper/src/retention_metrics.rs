//! How the groups stand with retention, as series of the active reaper alone.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{
    GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use stream_core::{GroupRetention, Retained, RetentionRule};

use crate::patience::Silence;

/// What a round found.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The rule by age, if age decides.
    pub(crate) rule: Option<RetentionRule>,
    pub(crate) retained: Retained,
}

/// The latest reading. Each scrape is made from one whole reading, so that no series outlives its group.
#[derive(Debug, Clone)]
pub(crate) struct RetentionMetrics {
    stream: String,
    descs: Vec<Desc>,
    latest: Arc<Mutex<Option<Reading>>>,
}

impl RetentionMetrics {
    /// Registers the series of the stream at `stream`; there are none until the first reading.
    pub(crate) fn register(registry: &Registry, stream: &str) -> Result<Self, prometheus::Error> {
        // Names and labels are constants; a mistake in them is found here, not in a scrape.
        let series = Series::new()?;
        let descs = series.all().into_iter().flat_map(Collector::desc).cloned().collect();
        let metrics = Self { stream: stream.to_owned(), descs, latest: Arc::default() };
        registry.register(Box::new(metrics.clone()))?;
        Ok(metrics)
    }

    /// Shows a reading, or none, in place of the last one.
    pub(crate) fn show(&self, reading: Option<Reading>) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = reading;
    }

    /// Shows nothing: a reaper that stands by must not repeat what it last saw.
    pub(crate) fn clear(&self) {
        self.show(None);
    }
}

impl Collector for RetentionMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(reading), Ok(series)) = (&*latest, Series::new()) else { return Vec::new() };
        for group in &reading.retained.groups {
            series.fill(&self.stream, group, reading);
        }
        series.collect()
    }
}

/// The series of one scrape.
struct Series {
    lost: IntCounterVec,
    until_trim: GaugeVec,
    silent: GaugeVec,
    warning: IntGaugeVec,
    stale: IntGaugeVec,
    holds: IntGaugeVec,
}

const GROUP: &[&str] = &["stream", "group"];

impl Series {
    fn new() -> Result<Self, prometheus::Error> {
        let ints = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), GROUP);
        let floats = |name: &str, help: &str| GaugeVec::new(Opts::new(name, help), GROUP);
        Ok(Self {
            lost: IntCounterVec::new(
                Opts::new(
                    "stream_group_entries_lost_total",
                    "Entries that retention removed before the group was handed them, kept in Redis; at least so \
                     many under policy maxlen, exactly so many under age and guarded",
                ),
                GROUP,
            )?,
            until_trim: floats(
                "stream_seconds_until_trim",
                "Time until retention may remove the oldest entry that the group has not read or not acked: its age \
                 and, under policy guarded, the group's silence must both have reached their bounds. Absent while \
                 nothing is threatened: nothing is left to do, the group is one of retention.groups, or policy maxlen",
            )?,
            silent: floats(
                "stream_group_silent_seconds",
                "Time for which the group has left work undone without a sign of life: neither its last-delivered ID \
                 moved, nor did one of its consumers hold its name (policy guarded)",
            )?,
            warning: ints(
                "stream_group_stale_warning",
                "1 once the group has been silent for half of retention.stale_group_after (policy guarded)",
            )?,
            stale: ints(
                "stream_group_stale",
                "1 while retention does not wait for the group, as it has been silent for \
                 retention.stale_group_after (policy guarded)",
            )?,
            holds: ints(
                "stream_group_holds_retention",
                "1 for the group that keeps retention from removing by age (policy guarded)",
            )?,
        })
    }

    fn fill(&self, stream: &str, group: &GroupRetention, reading: &Reading) {
        let labels = [stream, group.name.as_str()];
        self.lost.with_label_values(&labels).inc_by(group.lost);
        let Some(rule) = &reading.rule else { return };
        if let Some(until) = rule.until_trim(group) {
            self.until_trim.with_label_values(&labels).set(until.as_secs_f64());
        }
        if !rule.guarded {
            return;
        }
        let silence = Silence::of(group, rule);
        self.silent.with_label_values(&labels).set(group.silent.as_secs_f64());
        self.warning.with_label_values(&labels).set(i64::from(silence != Silence::Short));
        self.stale.with_label_values(&labels).set(i64::from(silence == Silence::Stale));
        let holds = reading.retained.held_by.as_ref() == Some(&group.name);
        self.holds.with_label_values(&labels).set(i64::from(holds));
    }

    fn all(&self) -> [&dyn Collector; 6] {
        [&self.lost, &self.until_trim, &self.silent, &self.warning, &self.stale, &self.holds]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}
