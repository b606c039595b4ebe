//! What the queries read: day and minute buckets, in commands of bounded size.

use std::{collections::BTreeMap, ops::RangeInclusive};

use stream_core::Error;

use super::Queries;
use crate::{
    calendar::{DAY_MINUTES, date_of_minute},
    keys::{self, Measure},
};

/// Fields of one HMGET: Redis does nothing else meanwhile.
const FIELDS_MAX: usize = 1_000;

/// Events and cents by type.
pub(super) type Sums = BTreeMap<String, (i64, i64)>;

/// A number from the buckets of one day: minute since 1970, type, measure, value.
pub(super) type MinuteValue = (i64, String, Measure, i64);

/// The days since 1970 that minutes lie in.
pub(super) fn days_of(minutes: &RangeInclusive<i64>) -> RangeInclusive<i64> {
    minutes.start().div_euclid(DAY_MINUTES)..=minutes.end().div_euclid(DAY_MINUTES)
}

impl Queries {
    /// One measure of one type for each of the days, from the permanent totals.
    pub(super) async fn day_values(
        &self,
        days: RangeInclusive<i64>,
        name: &str,
        measure: Measure,
    ) -> Result<Vec<i64>, Error> {
        let field = |day| match date_of_minute(day * DAY_MINUTES) {
            Some(date) => keys::bucket_field(date, name, measure),
            None => String::new(), // No event is of such a day; nor is there a field of no name.
        };
        let fields: Vec<String> = days.map(field).collect();
        let mut values = Vec::with_capacity(fields.len());
        for chunk in fields.chunks(FIELDS_MAX) {
            values.append(&mut self.figures.fields(keys::DAYS, chunk).await?);
        }
        Ok(values)
    }

    /// The events of each of the days, by the permanent totals.
    pub(super) async fn day_counts(&self, days: RangeInclusive<i64>) -> Result<Vec<i64>, Error> {
        let mut counts: Vec<i64> = days.clone().map(|_| 0).collect();
        for name in self.types.iter() {
            let of_type = self.day_values(days.clone(), name, Measure::Count).await?;
            counts.iter_mut().zip(of_type).for_each(|(count, more)| *count += more);
        }
        Ok(counts)
    }

    /// The minutes of a day, or `None` if some of its `counted` events are in none any more: the day's hash
    /// expires as a whole after its last write, and a later event may have begun another. `counted` has to be
    /// read before, so that events counted in between do not make a whole day look incomplete.
    pub(super) async fn minutes_of_day(
        &self,
        day: i64,
        counted: i64,
    ) -> Result<Option<Vec<MinuteValue>>, Error> {
        let date = date_of_minute(day * DAY_MINUTES).filter(|_| counted > 0);
        let Some(date) = date else { return Ok(Some(Vec::new())) };
        let hash = self.figures.hash(&keys::minutes(&date.to_string())).await?;
        let values: Vec<MinuteValue> = hash
            .iter()
            .filter_map(|(field, value)| {
                let (minute, name, measure) = keys::parse_minute_field(field)?;
                let known = self.types.iter().any(|known| known == name);
                known.then(|| (day * DAY_MINUTES + i64::from(minute), name.to_owned(), measure, *value))
            })
            .collect();
        let events: i64 =
            values.iter().filter(|(_, _, measure, _)| *measure == Measure::Count).map(|it| it.3).sum();
        Ok((events >= counted).then_some(values))
    }
}

/// Adds a value to the sums of its type.
pub(super) fn add(sums: &mut Sums, name: &str, measure: Measure, value: i64) {
    let sum = sums.entry(name.to_owned()).or_default();
    match measure {
        Measure::Count => sum.0 += value,
        Measure::Cents => sum.1 += value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_lie_in_the_days_that_they_touch() {
        assert_eq!(days_of(&(0..=1_439)), 0..=0);
        assert_eq!(days_of(&(1_439..=1_440)), 0..=1);
        assert_eq!(days_of(&(-1..=0)), -1..=0);
    }
}
