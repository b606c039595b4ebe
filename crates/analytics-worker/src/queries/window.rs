//! The summary of a window: whole days from the permanent totals, the days at its ends from their minutes.

use std::ops::RangeInclusive;

use serde_json::{Value, json};
use stream_core::Error;

use super::{
    Queries,
    buckets::{Sums, add, days_of},
    summary::describe,
};
use crate::{
    calendar::{DAY_MINUTES, MINUTE_MS, minute_of},
    keys::{self, Measure},
};

impl Queries {
    /// The last `window_ms` before `now_ms`, to the minute, by event time. The sums are `null` if the window
    /// begins or ends within a day whose minutes are gone.
    ///
    /// `customers` are those last seen within the window: their latest event of all, by event time, lies in it.
    /// Whoever has an event that is dated after `now_ms` is not among them.
    pub(crate) async fn summary_of_window(&self, now_ms: i64, window_ms: i64) -> Result<Value, Error> {
        let window = minute_of(now_ms - window_ms)..=minute_of(now_ms);
        let from_ms = window.start() * MINUTE_MS;
        let sums = self.sums_of(&window).await?;
        // The minute of now is whole, as in the sums.
        let until_ms = (window.end() + 1) * MINUTE_MS - 1;
        let customers = self.figures.count(keys::LAST_SEEN, from_ms..=until_ms).await?;

        let mut summary = match &sums {
            Some(sums) => describe(sums, customers),
            None => json!({ "revenue": null, "events": null, "by_type": null, "customers": customers }),
        };
        summary["from_ts_ms"] = json!(from_ms);
        summary["to_ts_ms"] = json!(now_ms);
        Ok(summary)
    }

    /// The sums of these minutes, or `None` if they are not known any more.
    async fn sums_of(&self, window: &RangeInclusive<i64>) -> Result<Option<Sums>, Error> {
        let mut sums: Sums = self.types.iter().map(|name| (name.clone(), (0, 0))).collect();
        let days = days_of(window);
        let counts = self.day_counts(days.clone()).await?;
        for (day, counted) in days.clone().zip(counts) {
            if is_whole(day, window) {
                continue;
            }
            let Some(values) = self.minutes_of_day(day, counted).await? else { return Ok(None) };
            for (minute, name, measure, value) in values {
                if window.contains(&minute) {
                    add(&mut sums, &name, measure, value);
                }
            }
        }
        for name in self.types.iter() {
            for measure in Measure::BOTH {
                let values = self.day_values(days.clone(), name, measure).await?;
                for (_, value) in days.clone().zip(values).filter(|(day, _)| is_whole(*day, window)) {
                    add(&mut sums, name, measure, value);
                }
            }
        }
        Ok(Some(sums))
    }
}

/// Whether every minute of a day is in the window.
fn is_whole(day: i64, window: &RangeInclusive<i64>) -> bool {
    window.contains(&(day * DAY_MINUTES)) && window.contains(&((day + 1) * DAY_MINUTES - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_days_at_the_ends_need_their_minutes() {
        let whole = |window: RangeInclusive<i64>| -> Vec<i64> {
            days_of(&window).filter(|day| is_whole(*day, &window)).collect()
        };
        assert_eq!(whole(1..=4 * DAY_MINUTES), [1, 2, 3]);
        assert_eq!(whole(0..=2 * DAY_MINUTES - 1), [0, 1]);
        assert!(whole(10..=70).is_empty());
    }
}
