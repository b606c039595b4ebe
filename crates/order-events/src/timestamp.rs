//! The rule for `ts_ms`: Unix milliseconds, written as plain digits.

use crate::{
    limits::{MAX_AHEAD_MS, MAX_TS_MS},
    text::shorten,
};

/// Why a `ts_ms` was refused. Values are shortened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampError {
    /// It is not a whole number of digits.
    #[error("{0:?} is not a whole number; allowed: Unix milliseconds from 0 to {MAX_TS_MS}")]
    NotInteger(String),
    /// It starts with a minus sign.
    #[error("{0:?} is negative; allowed: Unix milliseconds from 0 to {MAX_TS_MS}")]
    Negative(String),
    /// It is after the end of the calendar: most likely not milliseconds.
    #[error(
        "{0:?} is after the year 9999 (are these milliseconds?); allowed: Unix milliseconds from 0 to {MAX_TS_MS}"
    )]
    TooLarge(String),
    /// It is more than 24 h ahead of the receiver's clock.
    #[error("{ts_ms} is more than 24 h ahead of now ({now_ms}); allowed: at most {}", now_ms.saturating_add(MAX_AHEAD_MS))]
    TooFarAhead {
        /// The event time that was sent, in Unix milliseconds.
        ts_ms: u64,
        /// The receiver's clock, in Unix milliseconds.
        now_ms: u64,
    },
}

/// Reads Unix milliseconds from plain digits.
pub(crate) fn parse_ts_ms(literal: &str) -> Result<u64, TimestampError> {
    if literal.starts_with('-') {
        return Err(TimestampError::Negative(shorten(literal)));
    }
    if literal.is_empty() || !literal.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TimestampError::NotInteger(shorten(literal)));
    }
    // Only digits are left, so the one thing that can fail is the size.
    match literal.parse() {
        Ok(ts_ms) if ts_ms <= MAX_TS_MS => Ok(ts_ms),
        _ => Err(TimestampError::TooLarge(shorten(literal))),
    }
}

/// Checks the bound that producers have and entries have not: at most 24 h ahead of `now_ms`.
pub(crate) fn check_not_ahead(ts_ms: u64, now_ms: u64) -> Result<u64, TimestampError> {
    if ts_ms > now_ms.saturating_add(MAX_AHEAD_MS) {
        return Err(TimestampError::TooFarAhead { ts_ms, now_ms });
    }
    Ok(ts_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read() {
        assert_eq!(parse_ts_ms("0"), Ok(0));
        assert_eq!(parse_ts_ms("01716998413541"), Ok(1_716_998_413_541));
        assert_eq!(parse_ts_ms("253402207200999"), Ok(MAX_TS_MS));
    }

    #[test]
    fn everything_else_says_what_is_allowed() {
        for literal in ["", " 1", "1 ", "+1", "1.0", "1e3", "0x10", "1_000", "١"] {
            assert_eq!(
                parse_ts_ms(literal).unwrap_err().to_string(),
                format!(
                    "{literal:?} is not a whole number; allowed: Unix milliseconds from 0 to 253402207200999"
                ),
            );
        }
        assert_eq!(
            parse_ts_ms("-1").unwrap_err().to_string(),
            "\"-1\" is negative; allowed: Unix milliseconds from 0 to 253402207200999"
        );
        for literal in ["253402207201000", "99999999999999999999999999"] {
            assert_eq!(
                parse_ts_ms(literal).unwrap_err().to_string(),
                format!(
                    "{literal:?} is after the year 9999 (are these milliseconds?); allowed: Unix milliseconds \
                     from 0 to 253402207200999"
                ),
            );
        }
    }

    #[test]
    fn twenty_four_hours_ahead_is_the_limit() {
        assert_eq!(check_not_ahead(MAX_AHEAD_MS + 5, 5), Ok(MAX_AHEAD_MS + 5));
        assert_eq!(
            check_not_ahead(MAX_AHEAD_MS + 6, 5).unwrap_err().to_string(),
            "86400006 is more than 24 h ahead of now (5); allowed: at most 86400005"
        );
        assert_eq!(check_not_ahead(7, u64::MAX), Ok(7));
    }
}
