//! What clients may ask, and within which limits; errors name every parameter that is not usable.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::{
    extract::{Path, rejection::PathRejection},
    http::Uri,
};
use jiff::{SignedDuration, Timestamp};
use service_kit::{
    Problem,
    query::{Parameters, quoted},
};

use crate::calendar::{DAY_MINUTES, MINUTE_MS};

/// The longest window of a summary, in days.
const WINDOW_DAYS_MAX: i64 = 30;
/// Customers in one answer.
const TOP_MAX: usize = 1_000;
const TOP_DEFAULT: usize = 10;

/// The window of a summary; `None` means all time.
pub(super) fn window_ms(uri: &Uri) -> Result<Option<i64>, Problem> {
    let mut parameters = Parameters::of(uri, &["window"]);
    let minutes = parameters.read("window", |text| {
        let minutes = duration_minutes(text);
        minutes.filter(|minutes| (1..=WINDOW_DAYS_MAX * DAY_MINUTES).contains(minutes)).ok_or_else(|| {
            format!(
                "{} is no window; allowed: whole minutes such as 15m, 1h or 7d, from 1m to {WINDOW_DAYS_MAX}d",
                quoted(text)
            )
        })
    });
    parameters.finish()?;
    Ok(minutes.map(|minutes| minutes * MINUTE_MS))
}

/// How many of the top customers.
pub(super) fn top_count(uri: &Uri) -> Result<usize, Problem> {
    let mut parameters = Parameters::of(uri, &["n"]);
    let count = parameters.read("n", |text| match text.parse() {
        Ok(count @ 1..=TOP_MAX) => Ok(count),
        _ => Err(format!("{} is no count; allowed: 1 to {TOP_MAX}", quoted(text))),
    });
    parameters.finish()?;
    Ok(count.unwrap_or(TOP_DEFAULT))
}

/// The order that a path names.
pub(super) fn order_id(uri: &Uri, path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let mut parameters = Parameters::of(uri, &[]);
    let order_id = path.map_or_else(
        |_| {
            parameters.fail("order_id", "is not usable; allowed: UTF-8, percent-encoded");
            String::new()
        },
        |Path(order_id)| order_id,
    );
    parameters.finish()?;
    Ok(order_id)
}

/// Unix milliseconds, or RFC 3339.
pub(super) fn time(text: &str) -> Result<i64, String> {
    let ms = text.parse().ok().or_else(|| text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond));
    ms.filter(|ms| (0..=Timestamp::MAX.as_millisecond()).contains(ms)).ok_or_else(|| {
        let allowed = "Unix milliseconds, or RFC 3339 such as 2026-01-31T12:00:00Z, from 1970 to 9999";
        format!("{} is no time; allowed: {allowed}", quoted(text))
    })
}

/// Whole minutes of a duration such as `90m`, `1h` or `7d`; a day is 24 hours.
pub(super) fn duration_minutes(text: &str) -> Option<i64> {
    let (days, rest) = match text.split_once('d') {
        Some((days, rest)) => (days.parse::<u32>().ok()?, rest),
        None => (0, text),
    };
    let rest = if rest.is_empty() { SignedDuration::ZERO } else { rest.parse().ok()? };
    let seconds = (i64::from(days) * DAY_MINUTES * 60).checked_add(rest.as_secs())?;
    (seconds % 60 == 0 && rest.subsec_nanos() == 0).then_some(seconds / 60)
}

pub(super) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(query: &str) -> Uri {
        format!("/?{query}").parse().unwrap()
    }

    #[test]
    fn durations_are_whole_minutes() {
        for (text, minutes) in [("1m", 1), ("1h", 60), ("90m", 90), ("7d", 7 * 1_440), ("1d12h", 36 * 60)] {
            assert_eq!(duration_minutes(text), Some(minutes), "{text}");
        }
        for text in ["", "x", "30s", "d", "1x", "1m1ms", "1d9223372036854775807s"] {
            assert!(duration_minutes(text).is_none_or(|minutes| minutes == 0), "{text}");
        }
    }

    #[test]
    fn windows_and_counts_have_limits() {
        assert_eq!(window_ms(&uri("")).unwrap(), None);
        assert_eq!(window_ms(&uri("window=1h")).unwrap(), Some(3_600_000));
        for window in ["31d", "0m", "soon", "-1h", ""] {
            assert!(window_ms(&uri(&format!("window={window}"))).is_err(), "{window}");
        }
        assert_eq!((top_count(&uri("")).unwrap(), top_count(&uri("n=3")).unwrap()), (10, 3));
        for count in ["0", "1001", "-1"] {
            assert!(top_count(&uri(&format!("n={count}"))).is_err(), "{count}");
        }
    }

    #[test]
    fn times_are_milliseconds_or_rfc_3339() {
        assert_eq!(time("852076800000"), Ok(852_076_800_000));
        assert_eq!(time("1997-01-01T00:00:00Z"), Ok(852_076_800_000));
        assert!(time("yesterday").is_err() && time("-5").is_err());
    }
}
