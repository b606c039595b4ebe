//! Durations as people write and read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::{SpanRelativeTo, fmt::friendly::SpanParser};

/// A duration from the command line, e.g. `5s` or `1h30m`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    SpanParser::new()
        .parse_span(text.trim())
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .ok()
        .and_then(|duration| duration.try_into().ok())
        .ok_or_else(|| "allowed: a number and a unit, such as 250ms, 5s, 2m, 1h or 7d".to_owned())
}

/// A duration in its two largest units, e.g. `1h 5m`; milliseconds only below a second.
pub(crate) fn short(duration: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let seconds = duration.as_secs();
    let Some(at) = UNITS.iter().position(|(unit, _)| seconds >= *unit) else {
        return format!("{}ms", duration.as_millis());
    };
    let (unit, name) = UNITS[at];
    let (whole, rest) = (seconds / unit, seconds % unit);
    match UNITS.get(at + 1) {
        Some((next, next_name)) if rest >= *next => format!("{whole}{name} {}{next_name}", rest / next),
        _ => format!("{whole}{name}"),
    }
}

/// The wall clock in Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_shown() {
        for (text, shown) in
            [("250ms", "250ms"), ("5s", "5s"), ("90s", "1m 30s"), ("2h", "2h"), ("26h30m", "1d 2h")]
        {
            assert_eq!(short(parse(text).unwrap()), shown);
        }
        for text in ["", "5", "-5s", "soon"] {
            assert!(parse(text).unwrap_err().starts_with("allowed: "), "{text}");
        }
    }
}
