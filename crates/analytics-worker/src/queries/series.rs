//! Time series from minute and day buckets.

use std::collections::BTreeMap;

use order_events::format_cents;
use serde_json::{Value, json};
use stream_core::Error;

use super::{Queries, summary::Sums};
use crate::{
    calendar::{DAY_MINUTES, MINUTE_MS, date_of_minute, minute_of},
    keys::{self, Measure},
};

/// What a series shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Metric {
    /// The amount paid.
    Revenue,
    /// Events of every type.
    Events,
    /// Events of one type.
    EventsOf(String),
}

/// A series to compute: `[from, to)` of event time in steps of whole minutes.
#[derive(Debug, Clone)]
pub(crate) struct SeriesQuery {
    pub(crate) metric: Metric,
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    pub(crate) step_minutes: i64,
}

impl Queries {
    /// The points of a series; a step without events is a point of 0.
    pub(crate) async fn series(&self, query: &SeriesQuery) -> Result<Vec<Value>, Error> {
        let step = query.step_minutes;
        let first = minute_of(query.from_ms).div_euclid(step) * step;
        let last = minute_of(query.to_ms - 1);
        let buckets = if step % DAY_MINUTES == 0 {
            self.day_sums(first, last).await?
        } else {
            self.minute_sums(first, last).await?
        };
        let mut points: BTreeMap<i64, i64> = BTreeMap::new();
        let mut at = first;
        while at <= last {
            points.insert(at, 0);
            at += step;
        }
        for (minute, sums) in buckets {
            let value = measure(&sums, &query.metric);
            *points.entry(minute.div_euclid(step) * step).or_default() += value;
        }
        let show = |value: i64| match query.metric {
            Metric::Revenue => json!(format_cents(value)),
            Metric::Events | Metric::EventsOf(_) => json!(value),
        };
        let point =
            |(minute, value): (i64, i64)| json!({ "ts_ms": minute * MINUTE_MS, "value": show(value) });
        Ok(points.into_iter().map(point).collect())
    }

    /// The minutes from `first` to `last` that have events, with their sums.
    pub(super) async fn minute_sums(&self, first: i64, last: i64) -> Result<BTreeMap<i64, Sums>, Error> {
        let mut buckets: BTreeMap<i64, Sums> = BTreeMap::new();
        let mut day = first.div_euclid(DAY_MINUTES);
        while day * DAY_MINUTES <= last {
            if let Some(date) = date_of_minute(day * DAY_MINUTES) {
                for (field, value) in self.stream.projected_hash(&keys::minutes(&date.to_string())).await? {
                    let Some((minute, name, measure)) = keys::parse_minute_field(&field) else { continue };
                    let minute = day * DAY_MINUTES + i64::from(minute);
                    if (first..=last).contains(&minute) {
                        add(buckets.entry(minute).or_default(), name, measure, value);
                    }
                }
            }
            day += 1;
        }
        Ok(buckets)
    }

    /// The days from that of `first` to that of `last`, under their first minutes, with their sums.
    async fn day_sums(&self, first: i64, last: i64) -> Result<BTreeMap<i64, Sums>, Error> {
        let mut wanted = Vec::new();
        let mut day = first.div_euclid(DAY_MINUTES);
        while day * DAY_MINUTES <= last {
            if let Some(date) = date_of_minute(day * DAY_MINUTES) {
                for name in &self.types {
                    wanted.extend(Measure::BOTH.map(|measure| (day * DAY_MINUTES, date, name, measure)));
                }
            }
            day += 1;
        }
        let fields: Vec<String> =
            wanted.iter().map(|(_, date, name, measure)| keys::bucket_field(date, name, *measure)).collect();
        let values = self.stream.projected_fields(keys::DAYS, &fields).await?;
        let mut buckets: BTreeMap<i64, Sums> = BTreeMap::new();
        for ((minute, _, name, measure), value) in wanted.into_iter().zip(values) {
            add(buckets.entry(minute).or_default(), name, measure, value);
        }
        Ok(buckets)
    }
}

fn add(sums: &mut Sums, name: &str, measure: Measure, value: i64) {
    let sum = sums.entry(name.to_owned()).or_default();
    match measure {
        Measure::Count => sum.0 += value,
        Measure::Cents => sum.1 += value,
    }
}

fn measure(sums: &Sums, metric: &Metric) -> i64 {
    match metric {
        Metric::Revenue => sums.get("order.paid").map_or(0, |(_, cents)| *cents),
        Metric::Events => sums.values().map(|(count, _)| count).sum(),
        Metric::EventsOf(name) => sums.get(name).map_or(0, |(count, _)| *count),
    }
}
