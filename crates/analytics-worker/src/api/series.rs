//! The parameters of a time series, and how much of the past one request may read.

use axum::http::Uri;
use service_kit::{
    Problem,
    query::{Parameters, quoted},
};

use super::params::{duration_minutes, now_ms, time};
use crate::{
    calendar::{DAY_MINUTES, MINUTE_MS},
    queries::{Metric, SeriesQuery},
};

/// Points of one series.
const POINTS_MAX: i64 = 1_500;
/// Days, in UTC, that a series of minutes touches: each may have a hash of many thousand fields.
const MINUTE_DAYS_MAX: i64 = 31;
/// Days, in UTC, that a series of whole days touches: each is a field for each type.
const DAYS_MAX: i64 = 3_660;
const STEP_DAYS_MAX: i64 = 366;

/// The metric's name and the series; the last hour of revenue by the minute, unless asked otherwise.
pub(super) fn read(uri: &Uri, types: &[String]) -> Result<(String, SeriesQuery), Problem> {
    let mut parameters = Parameters::of(uri, &["metric", "from", "to", "step"]);
    let metric = parameters.read("metric", |text| metric(text, types));
    let to_ms = parameters.read("to", time).unwrap_or_else(now_ms);
    let from_ms = parameters.read("from", time).unwrap_or(to_ms - 60 * MINUTE_MS);
    let step_minutes = parameters.read("step", step).unwrap_or(1);
    parameters.finish()?;

    let (name, metric) = metric.unwrap_or_else(|| ("revenue".to_owned(), Metric::Revenue));
    let query = SeriesQuery { metric, from_ms, to_ms, step_minutes };
    if let Err((name, message)) = within_limits(&query) {
        parameters.fail(name, message);
    }
    parameters.finish()?;
    Ok((name, query))
}

/// The parameter to change, and to what, if this would be too much.
fn within_limits(query: &SeriesQuery) -> Result<(), (&'static str, String)> {
    if query.to_ms <= query.from_ms {
        return Err(("from", "is not before to; allowed: an earlier time".to_owned()));
    }
    let (days, points) = (query.days(), query.points());
    if query.is_of_days() && days > DAYS_MAX {
        return Err((
            "from",
            format!(
                "and to touch {days} days by whole steps; allowed: at most {DAYS_MAX} days in one request"
            ),
        ));
    }
    if !query.is_of_days() && days > MINUTE_DAYS_MAX {
        let allowed = format!("at most {MINUTE_DAYS_MAX} days unless step is whole days");
        return Err(("from", format!("and to touch {days} days by whole steps; allowed: {allowed}")));
    }
    if points > POINTS_MAX {
        let allowed = format!("a step that gives at most {POINTS_MAX} points");
        return Err(("step", format!("gives {points} points; allowed: {allowed}")));
    }
    Ok(())
}

fn metric(text: &str, types: &[String]) -> Result<(String, Metric), String> {
    let metric = match text {
        "revenue" => Metric::Revenue,
        "events" => Metric::Events,
        name if types.iter().any(|known| known == name) => Metric::EventsOf(name.to_owned()),
        _ => {
            let types = types.join(", ");
            return Err(format!("{} is no metric; allowed: revenue, events, {types}", quoted(text)));
        }
    };
    Ok((text.to_owned(), metric))
}

fn step(text: &str) -> Result<i64, String> {
    duration_minutes(text).filter(|minutes| (1..=STEP_DAYS_MAX * DAY_MINUTES).contains(minutes)).ok_or_else(
        || {
            let allowed = format!("whole minutes such as 1m, 15m, 1h or 1d, at most {STEP_DAYS_MAX}d");
            format!("{} is no step; allowed: {allowed}", quoted(text))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = DAY_MINUTES * MINUTE_MS;

    fn asked(query: &str) -> Result<(String, SeriesQuery), Problem> {
        read(&format!("/?{query}").parse().unwrap(), &["order.paid".to_owned()])
    }

    fn refused(query: &str, parameter: &str, limit: &str) {
        let problem = asked(query).unwrap_err().to_json();
        assert_eq!((&problem["status"], &problem["type"]), (&400.into(), &"/problems/invalid-query".into()));
        assert_eq!(problem["errors"][0]["parameter"], parameter, "{query}");
        assert!(problem["errors"][0]["message"].as_str().unwrap().contains(limit), "{problem}");
    }

    #[test]
    fn unless_asked_otherwise_it_is_the_last_hour_of_revenue() {
        let (name, query) = asked("").unwrap();
        assert_eq!((name.as_str(), query.metric, query.step_minutes), ("revenue", Metric::Revenue, 1));
        assert_eq!(query.to_ms - query.from_ms, 60 * MINUTE_MS);
        assert_eq!(asked("metric=order.paid").unwrap().1.metric, Metric::EventsOf("order.paid".to_owned()));
    }

    #[test]
    fn what_one_request_reads_is_bounded() {
        refused("from=0&to=47000000000000&step=366d", "from", "at most 3660 days");
        let range = |days: i64, step: &str| format!("from={}&to={}&step={step}", DAY_MS, (days + 1) * DAY_MS);
        assert_eq!(asked(&range(31, "1h")).unwrap().1.days(), 31);
        refused(&range(32, "1h"), "from", "at most 31 days");
        refused(&range(360, "1d12h"), "from", "at most 31 days");
        assert_eq!(asked(&range(3_653, "7d")).unwrap().1.days(), 3_654);
        refused(&range(3_660, "366d"), "from", "at most 3660 days");
        refused(&range(1_600, "1d"), "step", "at most 1500 points");
        refused(&range(2, "1m"), "step", "at most 1500 points");
    }

    #[test]
    fn mistakes_name_their_parameter() {
        refused("metric=profit", "metric", "allowed: revenue, events, order.paid");
        refused("from=5&to=5", "from", "is not before to");
        refused("step=30s", "step", "allowed: whole minutes");
        refused("stepp=1h", "stepp", "allowed: metric, from, to, step");
    }
}
