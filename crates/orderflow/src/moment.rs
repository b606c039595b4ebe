//! Points in a stream as people name them: an entry ID, a time, a day, or so long ago.

use std::time::Duration;

use jiff::{Timestamp, civil, tz::TimeZone};
use stream_core::StreamId;

use crate::durations;

/// What `--help` says of it.
pub(crate) const HELP: &str = "\
WHEN is an entry ID (1716998413541-0), Unix milliseconds, a time (2026-05-29T16:00:00Z), a day (2026-05-29, today, \
yesterday), how long ago (15m, '2h ago'), start, end or now. Times without a zone, and days, are UTC. A day begins at \
midnight; only where it is the last one wanted (replay --to) it means its end.";

/// Unix seconds that somebody may have meant; as milliseconds they are in the first months of 1970.
const SECONDS_MIN: u64 = 1_000_000_000;
const SECONDS_MAX: u64 = 9_999_999_999;

const DAY_MS: u64 = 86_400_000;

/// A point in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// An entry, there or not.
    Id(StreamId),
    /// A millisecond of Unix time, with every entry that was added in it.
    Time(u64),
    /// The day that begins at this millisecond.
    Day(u64),
}

impl Moment {
    /// The oldest ID that belongs to it.
    pub(crate) const fn first(self) -> StreamId {
        match self {
            Self::Id(id) => id,
            Self::Time(ms) | Self::Day(ms) => StreamId::new(ms, 0),
        }
    }

    /// The newest ID that belongs to it.
    pub(crate) const fn last(self) -> StreamId {
        match self {
            Self::Id(id) => id,
            Self::Time(ms) => StreamId::new(ms, u64::MAX),
            Self::Day(midnight) => StreamId::new(midnight.saturating_add(DAY_MS - 1), u64::MAX),
        }
    }
}

/// Reads a moment; what is relative is so to this machine's clock.
pub(crate) fn parse(text: &str) -> Result<Moment, String> {
    parse_at(text, Timestamp::now())
}

fn parse_at(text: &str, now: Timestamp) -> Result<Moment, String> {
    let text = text.trim();
    let today = now.to_zoned(TimeZone::UTC).date();
    match text {
        "start" => return Ok(Moment::Time(0)),
        "end" => return Ok(Moment::Time(u64::MAX)),
        "now" => return Ok(Moment::Time(since_1970(now)?)),
        _ => {}
    }
    if let Some(midnight) = day(text, today).and_then(start_of) {
        return since_1970(midnight).map(Moment::Day);
    }
    if let Some(time) = written_out(text) {
        return since_1970(time).map(Moment::Time);
    }
    if let Ok(id) = text.parse::<StreamId>() {
        return if text.contains('-') { Ok(Moment::Id(id)) } else { milliseconds(id.ms) };
    }
    let ago = durations::parse(text.strip_suffix("ago").unwrap_or(text)).map_err(|_| {
        "allowed: an entry ID, Unix milliseconds, a time (2026-05-29T16:00:00Z), a day (2026-05-29, yesterday), how \
         long ago (15m, '2h ago'), start, end or now"
    })?;
    Ok(Moment::Time(before(now, ago)))
}

/// A day, and not a time of it.
fn day(text: &str, today: civil::Date) -> Option<civil::Date> {
    match text {
        "today" => Some(today),
        "yesterday" => today.yesterday().ok(),
        _ if text.len() == 10 && text.matches('-').count() == 2 => text.parse().ok(),
        _ => None,
    }
}

/// A time with its zone, or without one.
fn written_out(text: &str) -> Option<Timestamp> {
    // `2026-05` would be a month to some and an entry ID to others: it is the ID.
    if text.bytes().filter(|byte| *byte == b'-').count() < 2 {
        return None;
    }
    let civil = || text.parse::<civil::DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    text.parse().ok().or_else(|| civil().map(|time| time.timestamp()))
}

fn since_1970(time: Timestamp) -> Result<u64, String> {
    u64::try_from(time.as_millisecond()).map_err(|_| "it is before 1970".to_owned())
}

fn start_of(day: civil::Date) -> Option<Timestamp> {
    day.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp())
}

fn milliseconds(ms: u64) -> Result<Moment, String> {
    if (SECONDS_MIN..=SECONDS_MAX).contains(&ms) {
        return Err(format!(
            "that looks like Unix seconds; write {ms}000 for the time, or {ms}-0 for the entry"
        ));
    }
    Ok(Moment::Time(ms))
}

fn before(now: Timestamp, ago: Duration) -> u64 {
    let now = u64::try_from(now.as_millisecond()).unwrap_or(0);
    now.saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX))
}

/// A time for people: UTC, to the second.
pub(crate) fn shown_time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| format!("{ms} ms"), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// How long ago, for people.
pub(crate) fn shown_age(ms: u64) -> String {
    durations::short(Duration::from_millis(durations::now_ms().saturating_sub(ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_780_070_400_123;

    fn at(text: &str) -> Result<Moment, String> {
        parse_at(text, Timestamp::from_millisecond(NOW_MS).unwrap())
    }

    #[test]
    fn ids_and_times_are_told_apart() {
        assert_eq!(at("1716998413541-3"), Ok(Moment::Id(StreamId::new(1_716_998_413_541, 3))));
        assert_eq!(at("5-1"), Ok(Moment::Id(StreamId::new(5, 1))));
        assert_eq!(at("1716998413541"), Ok(Moment::Time(1_716_998_413_541)));
        for text in
            ["2026-05-29T16:00:00Z", "2026-05-29T18:00:00+02:00", "2026-05-29 16:00", " 2026-05-29T16"]
        {
            assert_eq!(at(text), Ok(Moment::Time(1_780_070_400_000)), "{text}");
        }
        assert_eq!(at("now"), Ok(Moment::Time(NOW_MS as u64)));
    }

    #[test]
    fn days_begin_at_midnight_utc() {
        const MIDNIGHT: u64 = 1_780_012_800_000;
        assert_eq!(at("today"), Ok(Moment::Day(MIDNIGHT)));
        assert_eq!(at("2026-05-29"), Ok(Moment::Day(MIDNIGHT)));
        assert_eq!(at("yesterday"), Ok(Moment::Day(MIDNIGHT - DAY_MS)));
        assert_eq!(at("2026-05-29T00:00"), Ok(Moment::Time(MIDNIGHT)));
    }

    #[test]
    fn so_long_ago_is_counted_from_now() {
        for (text, ago_ms) in
            [("15m", 900_000), ("15m ago", 900_000), ("2 hours ago", 7_200_000), ("7d", 604_800_000)]
        {
            assert_eq!(at(text), Ok(Moment::Time(NOW_MS as u64 - ago_ms)), "{text}");
        }
        assert_eq!(at("90000d"), Ok(Moment::Time(0)), "there is nothing before");
    }

    #[test]
    fn a_moment_of_time_holds_every_entry_of_its_millisecond() {
        let (id, time) = (at("5-1").unwrap(), at("5").unwrap());
        assert_eq!((id.first(), id.last()), (StreamId::new(5, 1), StreamId::new(5, 1)));
        assert_eq!((time.first(), time.last()), (StreamId::new(5, 0), StreamId::new(5, u64::MAX)));
        let day = at("2026-05-29").unwrap();
        assert_eq!(day.first(), StreamId::new(1_780_012_800_000, 0));
        assert_eq!(day.last(), StreamId::new(1_780_099_199_999, u64::MAX), "all of it");
        assert_eq!(at("start").unwrap().first(), StreamId::MIN);
        assert_eq!(at("end").unwrap().last(), StreamId::MAX);
    }

    #[test]
    fn what_is_none_says_what_is_allowed() {
        for text in ["", "soon", "-5m", "ago", "5 apples ago", "2026-13-01"] {
            assert!(at(text).unwrap_err().starts_with("allowed: "), "{text}");
        }
        assert!(at("1716998413").unwrap_err().contains("1716998413000"), "Unix seconds");
        assert_eq!(at("1950-01-01T00:00:00Z").unwrap_err(), "it is before 1970");
    }

    #[test]
    fn times_are_shown_whatever_they_are() {
        assert_eq!(shown_time(1_780_070_400_123), "2026-05-29 16:00:00Z");
        assert_eq!(shown_time(u64::MAX), format!("{} ms", u64::MAX));
    }
}
