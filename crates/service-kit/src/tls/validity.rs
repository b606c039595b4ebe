//! Until when a certificate is valid (RFC 5280, 4.1.2.5). rustls checks that, but does not tell.

use jiff::{civil::DateTime, tz::TimeZone};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The Unix time in seconds at which a certificate in DER form ends; `None` if it cannot be read.
pub(super) fn not_after(certificate: &[u8]) -> Option<i64> {
    let (certificate, _) = expect(SEQUENCE, certificate)?;
    let (mut rest, _) = expect(SEQUENCE, certificate)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (validity, _) = expect(SEQUENCE, rest)?;
    let (_, _, end) = element(validity)?;
    let (tag, text, _) = element(end)?;
    unix_time(tag, std::str::from_utf8(text).ok()?)
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn unix_time(tag: u8, text: &str) -> Option<i64> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year: i16 = digits[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let part = |index: usize| rest[2 * index..2 * index + 2].parse::<i8>().ok();
    let time = DateTime::new(year, part(0)?, part(1)?, part(2)?, part(3)?, part(4)?, 0).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

/// The content of an element that must have this tag, and what follows it.
fn expect(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(input)?;
    (found == tag).then_some((content, rest))
}

/// Tag, content and what follows, of one DER element (X.690, 8.1).
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first & 0x7f);
    if first & 0x80 != 0 {
        let bytes = length;
        if bytes == 0 || bytes > 4 || rest.len() < bytes {
            return None;
        }
        length = rest[..bytes].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        rest = &rest[bytes..];
    }
    (rest.len() >= length).then(|| (tag, &rest[..length], &rest[length..]))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn the_end_is_read_in_both_forms_of_time() {
        // 2049 is the last year of the short form.
        for (year, expected) in [(2031, 1_924_992_000), (2049, 2_493_072_000), (2050, 2_524_608_000)] {
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.not_after = date_time_ymd(year, 1, 1);
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(not_after(certificate.der()), Some(expected), "{year}");
        }
    }

    #[test]
    fn what_is_cut_short_anywhere_is_not_read_and_does_no_harm() {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let whole = certificate.der().as_ref();
        for length in 0..whole.len() {
            assert_eq!(not_after(&whole[..length]), None, "{length}");
        }
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(not_after(&[0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1]), None);
    }

    #[test]
    fn impossible_times_are_none() {
        for (tag, text) in [
            (UTC_TIME, "251332000000Z"),
            (UTC_TIME, "20251231000000Z"),
            (GENERALIZED_TIME, "2025123100000Z"),
            (UTC_TIME, "2512310000+1Z"),
            (UTC_TIME, "251231000000"),
        ] {
            assert_eq!(unix_time(tag, text), None, "{text}");
        }
    }
}
