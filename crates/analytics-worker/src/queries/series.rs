//! Time series from minute and day buckets.

use std::{collections::BTreeMap, ops::RangeInclusive};

use order_events::format_cents;
use serde_json::{Value, json};
use stream_core::Error;

use super::{Queries, buckets::days_of, summary::PAID};
use crate::{
    calendar::{DAY_MINUTES, MINUTE_MS, minute_of},
    keys::Measure,
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

impl Metric {
    /// Whether a number of this type and measure is part of it.
    fn includes(&self, name: &str, measure: Measure) -> bool {
        match self {
            Self::Revenue => measure == Measure::Cents && name == PAID,
            Self::Events => measure == Measure::Count,
            Self::EventsOf(wanted) => measure == Measure::Count && name == wanted,
        }
    }
}

/// A series to compute: `[from, to)` of event time in steps of whole minutes, counted from 1970.
#[derive(Debug, Clone)]
pub(crate) struct SeriesQuery {
    pub(crate) metric: Metric,
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    pub(crate) step_minutes: i64,
}

/// By the first minute of each step its value, or `None` where it is not known any more.
type Points = BTreeMap<i64, Option<i64>>;

impl SeriesQuery {
    /// Whether the permanent totals of days suffice.
    pub(crate) const fn is_of_days(&self) -> bool {
        self.step_minutes % DAY_MINUTES == 0
    }

    /// How many days have to be read.
    pub(crate) fn days(&self) -> i64 {
        let days = days_of(&self.minutes());
        days.end() - days.start() + 1
    }

    /// How many points it has.
    pub(crate) fn points(&self) -> i64 {
        let minutes = self.minutes();
        (minutes.end() - minutes.start()) / self.step_minutes + 1
    }

    /// From the first minute of the step that `from` is in.
    fn minutes(&self) -> RangeInclusive<i64> {
        self.step_of(minute_of(self.from_ms))..=minute_of(self.to_ms - 1)
    }

    const fn step_of(&self, minute: i64) -> i64 {
        minute.div_euclid(self.step_minutes) * self.step_minutes
    }

    fn add(&self, points: &mut Points, minute: i64, value: i64) {
        if let Some(Some(sum)) = points.get_mut(&self.step_of(minute)) {
            *sum += value;
        }
    }

    fn empty(&self) -> Points {
        let first = *self.minutes().start();
        (0..self.points()).map(|at| (first + at * self.step_minutes, Some(0))).collect()
    }
}

impl Queries {
    /// The points of a series. A step without events is a point of 0; one that touches a day whose minutes are
    /// gone is a point of `null`.
    pub(crate) async fn series(&self, query: &SeriesQuery) -> Result<Vec<Value>, Error> {
        let points = if query.is_of_days() {
            self.points_of_days(query).await?
        } else {
            self.points_of_minutes(query).await?
        };
        let show = |value: i64| match query.metric {
            Metric::Revenue => json!(format_cents(value)),
            Metric::Events | Metric::EventsOf(_) => json!(value),
        };
        let point = |(minute, value): (i64, Option<i64>)| json!({ "ts_ms": minute * MINUTE_MS, "value": value.map_or(Value::Null, show) });
        Ok(points.into_iter().map(point).collect())
    }

    async fn points_of_days(&self, query: &SeriesQuery) -> Result<Points, Error> {
        let mut points = query.empty();
        let days = days_of(&query.minutes());
        for name in self.types.iter() {
            for measure in Measure::BOTH.into_iter().filter(|measure| query.metric.includes(name, *measure)) {
                let values = self.day_values(days.clone(), name, measure).await?;
                for (day, value) in days.clone().zip(values) {
                    query.add(&mut points, day * DAY_MINUTES, value);
                }
            }
        }
        Ok(points)
    }

    async fn points_of_minutes(&self, query: &SeriesQuery) -> Result<Points, Error> {
        let mut points = query.empty();
        let minutes = query.minutes();
        let days = days_of(&minutes);
        let counts = self.day_counts(days.clone()).await?;
        for (day, counted) in days.zip(counts) {
            if let Some(values) = self.minutes_of_day(day, counted).await? {
                let wanted = |name: &str, measure| query.metric.includes(name, measure);
                for (minute, _, _, value) in values.into_iter().filter(|it| wanted(&it.1, it.2)) {
                    if minutes.contains(&minute) {
                        query.add(&mut points, minute, value);
                    }
                }
            } else {
                let gone = query.step_of(day * DAY_MINUTES)..(day + 1) * DAY_MINUTES;
                points.range_mut(gone).for_each(|(_, value)| *value = None);
            }
        }
        Ok(points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(from: i64, to: i64, step_minutes: i64) -> SeriesQuery {
        let (from_ms, to_ms) = (from * MINUTE_MS, to * MINUTE_MS);
        SeriesQuery { metric: Metric::Events, from_ms, to_ms, step_minutes }
    }

    #[test]
    fn what_is_read_and_shown_begins_with_a_step() {
        let hours = query(90, 250, 60);
        assert_eq!((hours.points(), hours.days(), hours.is_of_days()), (4, 1, false));
        assert_eq!(hours.empty().into_keys().collect::<Vec<_>>(), [60, 120, 180, 240]);
        let year = query(9_862 * DAY_MINUTES, 10_227 * DAY_MINUTES, 365 * DAY_MINUTES);
        assert_eq!((year.points(), year.days(), year.is_of_days()), (2, 372, true));
        assert!(!query(0, 10, DAY_MINUTES + 60).is_of_days());
    }

    #[test]
    fn a_metric_includes_only_its_own_numbers() {
        let includes = |metric: Metric| {
            [(PAID, Measure::Cents), (PAID, Measure::Count), ("other", Measure::Count)]
                .map(|(name, measure)| metric.includes(name, measure))
        };
        assert_eq!(includes(Metric::Revenue), [true, false, false]);
        assert_eq!(includes(Metric::Events), [false, true, true]);
        assert_eq!(includes(Metric::EventsOf("other".to_owned())), [false, false, true]);
    }
}
