//! Days and minutes of event time, in UTC.

use jiff::{Timestamp, civil::Date, tz::Offset};

/// Milliseconds of a minute.
pub(crate) const MINUTE_MS: i64 = 60_000;
/// Minutes of a day.
pub(crate) const DAY_MINUTES: i64 = 1_440;

/// The day of an event time, or `None` past the year 9999.
pub(crate) fn date_of(ts_ms: i64) -> Option<Date> {
    let timestamp = Timestamp::from_millisecond(ts_ms).ok()?;
    Some(Offset::UTC.to_datetime(timestamp).date())
}

/// The minutes since 1970 of an event time.
pub(crate) const fn minute_of(ts_ms: i64) -> i64 {
    ts_ms.div_euclid(MINUTE_MS)
}

/// The day of a minute since 1970.
pub(crate) fn date_of_minute(minute: i64) -> Option<Date> {
    date_of(minute.checked_mul(MINUTE_MS)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_utc_and_far_from_now_too() {
        assert_eq!(date_of(852_076_800_000).unwrap().to_string(), "1997-01-01");
        assert_eq!(date_of(852_076_799_999).unwrap().to_string(), "1996-12-31");
        assert_eq!(date_of(0).unwrap().to_string(), "1970-01-01");
        assert_eq!(date_of(i64::MAX), None);
    }
}
