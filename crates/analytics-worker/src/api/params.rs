//! What clients may ask: parameters, their limits, and errors that name them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use service_kit::Problem;

use crate::{
    calendar::{DAY_MINUTES, MINUTE_MS},
    queries::{Metric, Queries, SeriesQuery},
};

/// The longest window of a summary: minutes are kept no longer.
const WINDOW_MAX: Duration = Duration::from_hours(30 * 24);
/// Customers in one answer.
const TOP_MAX: usize = 1_000;
const TOP_DEFAULT: usize = 10;
/// Points of one series.
const POINTS_MAX: i64 = 1_500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SummaryParams {
    window: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TopParams {
    n: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeriesParams {
    pub(super) metric: Option<String>,
    from: Option<String>,
    to: Option<String>,
    step: Option<String>,
}

fn invalid(parameter: &str, value: &str, allowed: &str) -> Problem {
    let shown: String = value.chars().take(64).collect();
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-parameter", "Invalid parameter")
        .detail(format!("{parameter}: {shown:?} is not usable; allowed: {allowed}"))
        .with("parameter", parameter)
}

impl SummaryParams {
    pub(super) fn window_ms(&self) -> Result<Option<i64>, Problem> {
        let Some(window) = &self.window else { return Ok(None) };
        let allowed = "a duration such as 15m, 1h or 7d, from 1m to 30d";
        let minutes = duration_minutes(window).ok_or_else(|| invalid("window", window, allowed))?;
        if minutes < 1 || minutes > WINDOW_MAX.as_secs() as i64 / 60 {
            return Err(invalid("window", window, allowed));
        }
        Ok(Some(minutes * MINUTE_MS))
    }
}

impl TopParams {
    pub(super) fn count(&self) -> Result<usize, Problem> {
        let Some(n) = &self.n else { return Ok(TOP_DEFAULT) };
        let count = n.parse().ok().filter(|count| (1..=TOP_MAX).contains(count));
        count.ok_or_else(|| invalid("n", n, &format!("a whole number from 1 to {TOP_MAX}")))
    }
}

impl SeriesParams {
    /// The last hour of revenue by the minute, unless asked otherwise.
    pub(super) fn query(&self, queries: &Queries) -> Result<SeriesQuery, Problem> {
        let metric = match self.metric.as_deref() {
            None | Some("revenue") => Metric::Revenue,
            Some("events") => Metric::Events,
            Some(name) if queries.types().iter().any(|known| known == name) => {
                Metric::EventsOf(name.to_owned())
            }
            Some(name) => {
                let allowed = format!("revenue, events, {}", queries.types().join(", "));
                return Err(invalid("metric", name, &allowed));
            }
        };
        let to_ms = time("to", self.to.as_deref())?.unwrap_or_else(now_ms);
        let from_ms = time("from", self.from.as_deref())?.unwrap_or(to_ms - 60 * MINUTE_MS);
        let step = self.step.as_deref().unwrap_or("1m");
        let step_minutes = duration_minutes(step)
            .filter(|minutes| (1..=366 * DAY_MINUTES).contains(minutes))
            .ok_or_else(|| invalid("step", step, "whole minutes such as 1m, 15m, 1h or 1d, at most 366d"))?;
        if to_ms <= from_ms {
            return Err(invalid("from", &from_ms.to_string(), "a time before `to`"));
        }
        let points = (to_ms - from_ms) / (step_minutes * MINUTE_MS);
        if points > POINTS_MAX {
            let allowed = format!("a step that gives at most {POINTS_MAX} points, not {points}");
            return Err(invalid("step", step, &allowed));
        }
        Ok(SeriesQuery { metric, from_ms, to_ms, step_minutes })
    }
}

/// Unix milliseconds, or RFC 3339.
fn time(parameter: &str, text: Option<&str>) -> Result<Option<i64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let allowed = "Unix milliseconds, or RFC 3339 such as 2026-01-31T12:00:00Z, from 1970 to 9999";
    let ms = text.parse().ok().or_else(|| text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond));
    let in_range = |ms: &i64| (0..=Timestamp::MAX.as_millisecond()).contains(ms);
    ms.filter(in_range).map(Some).ok_or_else(|| invalid(parameter, text, allowed))
}

/// Whole minutes of a duration such as `90m`, `1h` or `7d`; a day is 24 hours.
fn duration_minutes(text: &str) -> Option<i64> {
    let (days, rest) = match text.split_once('d') {
        Some((days, rest)) => (days.parse::<u32>().ok()?, rest),
        None => (0, text),
    };
    let rest = if rest.is_empty() { SignedDuration::ZERO } else { rest.parse().ok()? };
    let seconds = i64::from(days) * DAY_MINUTES * 60 + rest.as_secs();
    (seconds % 60 == 0).then_some(seconds / 60)
}

pub(super) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_minutes() {
        for (text, minutes) in [("1m", 1), ("1h", 60), ("90m", 90), ("7d", 7 * 1_440), ("1d12h", 36 * 60)] {
            assert_eq!(duration_minutes(text), Some(minutes), "{text}");
        }
        for text in ["", "x", "30s", "d", "1x"] {
            assert!(duration_minutes(text).is_none_or(|minutes| minutes == 0), "{text}");
        }
    }

    #[test]
    fn windows_and_counts_have_limits() {
        let window = |text: &str| SummaryParams { window: Some(text.to_owned()) }.window_ms();
        assert_eq!(window("1h").unwrap(), Some(3_600_000));
        assert!(window("31d").is_err() && window("0m").is_err() && window("soon").is_err());
        let count = |text: &str| TopParams { n: Some(text.to_owned()) }.count();
        assert_eq!(count("3").unwrap(), 3);
        assert!(count("0").is_err() && count("1001").is_err() && count("-1").is_err());
    }

    #[test]
    fn times_are_milliseconds_or_rfc_3339() {
        assert_eq!(time("from", Some("852076800000")).unwrap(), Some(852_076_800_000));
        assert_eq!(time("from", Some("1997-01-01T00:00:00Z")).unwrap(), Some(852_076_800_000));
        assert!(time("from", Some("yesterday")).is_err() && time("from", Some("-5")).is_err());
    }
}
