//! `time`: RFC 3339 to and from Unix milliseconds.

use jiff::Timestamp;

use crate::{limits::MAX_TS_MS, text::shorten};

const ALLOWED: &str = "RFC 3339, such as 2024-05-29T15:20:13.541Z, from 1970 to 9999";

/// Unix milliseconds of an RFC 3339 time; what is below a millisecond is cut off.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let refused = || format!("{:?} is no time; allowed: {ALLOWED}", shorten(text));
    let exact = whole_milliseconds(text).ok_or_else(refused)?;
    let time: Timestamp = exact.parse().map_err(|_| refused())?;
    match u64::try_from(time.as_millisecond()) {
        Ok(ts_ms) if ts_ms <= MAX_TS_MS => Ok(ts_ms),
        _ => Err(refused()),
    }
}

/// The time of Unix milliseconds, in UTC; none beyond the calendar's end.
pub(super) fn format(ts_ms: u64) -> Option<String> {
    // `Timestamp::from_millisecond` takes no fraction of the calendar's last second.
    let (second, millisecond) = (i64::try_from(ts_ms / 1_000).ok()?, ts_ms % 1_000);
    let time = Timestamp::new(second, millisecond as i32 * 1_000_000).ok()?;
    Some(format!("{time:.3}"))
}

/// The same time without what is below a millisecond, if it has the form of RFC 3339. The calendar is left to
/// jiff, which reads other forms as well.
fn whole_milliseconds(text: &str) -> Option<String> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let shape = date_time.bytes().zip(*b"0000-00-00T00:00:00").all(|(byte, sample)| match sample {
        b'0' => byte.is_ascii_digit(),
        b'T' => byte.eq_ignore_ascii_case(&b'T'),
        mark => byte == mark,
    });
    let (fraction, offset) = match rest.strip_prefix('.') {
        Some(rest) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return None;
            }
            rest.split_at(digits)
        }
        None => ("", rest),
    };
    let offset_shape = match offset.as_bytes() {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].into_iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let fraction = &fraction[..fraction.len().min(3)];
    let point = if fraction.is_empty() { "" } else { "." };
    (shape && offset_shape).then(|| format!("{date_time}{point}{fraction}{offset}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_is_read() {
        for (text, ts_ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2024-05-29T16:00:13.541Z", 1_716_998_413_541),
            ("2024-05-29t16:00:13.541z", 1_716_998_413_541),
            ("2024-05-29T18:00:13.5419999999999+02:00", 1_716_998_413_541),
            ("2024-05-29T16:00:13.5-00:00", 1_716_998_413_500),
            ("1969-12-31T23:00:00-01:00", 0),
            ("2016-12-31T23:59:60Z", 1_483_228_799_000),
            ("9999-12-30T22:00:00.999Z", MAX_TS_MS),
        ] {
            assert_eq!(parse(text), Ok(ts_ms), "{text}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for text in [
            "",
            "now",
            "2024-05-29",
            "2024-05-29 16:00:13Z",
            "2024-05-29T16:00:13",
            "2024-05-29T16:00Z",
            "2024-05-29T16:00:13.Z",
            "2024-05-29T16:00:13+02",
            "2024-05-29T16:00:13+0200",
            "2024-05-29T16:00:13Z[Europe/Oslo]",
            "2024-02-30T16:00:13Z",
            "2024-05-29T25:00:13Z",
            "1969-12-31T23:59:59.999Z",
            "9999-12-31T23:59:59Z",
            "+002024-05-29T16:00:13Z",
            "２024-05-29T16:00:13Z",
            "1716998413541",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("is no time; allowed: RFC 3339"), "{error}");
        }
    }

    #[test]
    fn milliseconds_are_written_in_full() {
        assert_eq!(format(0).as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert_eq!(format(1_716_998_413_541).as_deref(), Some("2024-05-29T16:00:13.541Z"));
        assert_eq!(format(MAX_TS_MS).as_deref(), Some("9999-12-30T22:00:00.999Z"));
        assert_eq!(format(MAX_TS_MS + 1), None);
        assert_eq!(format(u64::MAX), None);
    }
}
