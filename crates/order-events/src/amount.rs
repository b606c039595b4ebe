//! Exact money: whole cents, never a float.

use std::{fmt, str::FromStr};

use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::{Serialize, Serializer};

use crate::text::shorten;

/// An exact amount of money from 0 to 10 000 000 000 with two decimals, held as whole cents.
///
/// Amounts add up in Redis as integers of cents, which stay exact in sorted-set scores below 2^53.
/// [`fmt::Display`] and serde write two decimals (`49.50`); [`FromStr`] takes digits with at most two
/// decimals and nothing else (`49`, `49.5`, `49.50`), no sign, exponent, space or separator.
///
/// ```
/// use order_events::Amount;
///
/// let amount: Amount = "49.5".parse()?;
/// assert_eq!(amount.cents(), 4_950);
/// assert_eq!(amount.to_string(), "49.50");
/// assert_eq!(
///     "12.345".parse::<Amount>().unwrap_err().to_string(),
///     r#""12.345" has more than two decimals; allowed: 0 to 10000000000 with at most two decimals"#,
/// );
/// # Ok::<(), order_events::AmountError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount {
    cents: i64,
}

/// Why a text or a number of cents is not an [`Amount`]. Values are shortened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmountError {
    /// It is not written as plain digits with an optional fraction.
    #[error("{0:?} is not a plain decimal number; allowed: 0 to 10000000000 with at most two decimals")]
    NotDecimal(String),
    /// It has an exponent.
    #[error("{0:?} has an exponent; allowed: 0 to 10000000000 with at most two decimals, in plain digits")]
    Exponent(String),
    /// It is below zero, or a negative zero.
    #[error("{0:?} is negative; allowed: 0 to 10000000000 with at most two decimals")]
    Negative(String),
    /// It has more than two decimals, be they zeros.
    #[error("{0:?} has more than two decimals; allowed: 0 to 10000000000 with at most two decimals")]
    TooManyDecimals(String),
    /// It is more than 10 000 000 000.
    #[error("{0:?} is too large; allowed: 0 to 10000000000 with at most two decimals")]
    TooLarge(String),
}

impl Amount {
    /// Nothing at all: `0.00`.
    pub const ZERO: Self = Self { cents: 0 };

    /// The largest amount there is: `10000000000.00`.
    pub const MAX: Self = Self { cents: 1_000_000_000_000 };

    /// The amount of `cents`; an error if that is below zero or above [`Amount::MAX`].
    pub fn from_cents(cents: i64) -> Result<Self, AmountError> {
        if cents < 0 {
            return Err(AmountError::Negative(format_cents(cents)));
        }
        if cents > Self::MAX.cents {
            return Err(AmountError::TooLarge(format_cents(cents)));
        }
        Ok(Self { cents })
    }

    /// The amount in cents.
    pub const fn cents(self) -> i64 {
        self.cents
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(literal: &str) -> Result<Self, AmountError> {
        let (whole, fraction) = literal.split_once('.').unwrap_or((literal, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return Err(refuse(literal));
        }
        if fraction.len() > 2 {
            return Err(AmountError::TooManyDecimals(shorten(literal)));
        }
        // More digits than a Decimal holds are more than an amount may have.
        let cents = Decimal::from_str_exact(literal)
            .ok()
            .and_then(|amount| amount.checked_mul(Decimal::ONE_HUNDRED))
            .and_then(|cents| cents.to_i64())
            .ok_or_else(|| AmountError::TooLarge(shorten(literal)))?;
        if cents > Self::MAX.cents {
            return Err(AmountError::TooLarge(shorten(literal)));
        }
        Ok(Self { cents })
    }
}

/// Names what is wrong with a literal that is not `[0-9]+(\.[0-9]+)?`.
fn refuse(literal: &str) -> AmountError {
    let shown = shorten(literal);
    let unsigned = literal.strip_prefix('-').unwrap_or(literal);
    let numeric = unsigned.starts_with(|c: char| c.is_ascii_digit())
        && unsigned.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    if numeric && unsigned.contains(['e', 'E']) {
        AmountError::Exponent(shown)
    } else if numeric && unsigned.len() < literal.len() {
        AmountError::Negative(shown)
    } else {
        AmountError::NotDecimal(shown)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format_cents(self.cents))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_cents(self.cents))
    }
}

/// Writes any number of cents with two decimals: for sums, which may be larger than [`Amount::MAX`], and
/// differences, which may be negative (`-0.05`).
pub fn format_cents(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let magnitude = cents.unsigned_abs();
    format!("{sign}{}.{:02}", magnitude / 100, magnitude % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_decimals_are_read_exactly() {
        let cases = [
            ("0", 0),
            ("0.00", 0),
            ("0.01", 1),
            ("0.1", 10),
            ("49", 4_900),
            ("49.5", 4_950),
            ("49.50", 4_950),
            ("49.05", 4_905),
            ("007.25", 725),
            ("10000000000", 1_000_000_000_000),
            ("10000000000.00", 1_000_000_000_000),
            ("9999999999.99", 999_999_999_999),
        ];
        for (literal, cents) in cases {
            assert_eq!(literal.parse::<Amount>().map(Amount::cents), Ok(cents), "{literal}");
        }
    }

    #[test]
    fn everything_else_names_its_fault() {
        let too_long = "9".repeat(60);
        let cases = [
            (
                &[
                    "", ".", "5.", ".5", "+5", " 5", "5 ", "1_000", "1,50", "1.2.3", "0x1", "NaN", "e5", "-",
                    "٣",
                ][..],
                "is not a plain decimal number",
            ),
            (&["1e3", "1E3", "1.5e-2", "-1e3"], "has an exponent"),
            (&["-1", "-0", "-0.01"], "is negative"),
            (&["12.345", "1.000", "0.001"], "has more than two decimals"),
            (&["10000000000.01", "10000000001", too_long.as_str()], "is too large"),
        ];
        for (literals, fault) in cases {
            for literal in literals {
                let message = literal.parse::<Amount>().unwrap_err().to_string();
                assert!(message.contains(fault), "{literal}: {message}");
                assert!(
                    message.contains("; allowed: 0 to 10000000000 with at most two decimals"),
                    "{message}"
                );
            }
        }
    }

    #[test]
    fn messages_stay_short_and_escaped() {
        let message = format!("\n{}", "x".repeat(1_000_000)).parse::<Amount>().unwrap_err().to_string();
        assert!(message.starts_with(r#""\nxxx"#), "{message}");
        assert!(message.len() < 200, "{message}");
    }

    #[test]
    fn cents_are_checked() {
        assert_eq!(Amount::from_cents(0), Ok(Amount::ZERO));
        assert_eq!(Amount::from_cents(1_000_000_000_000), Ok(Amount::MAX));
        assert_eq!(Amount::from_cents(-5), Err(AmountError::Negative("-0.05".to_owned())));
        assert_eq!(
            Amount::from_cents(1_000_000_000_001),
            Err(AmountError::TooLarge("10000000000.01".to_owned()))
        );
    }

    #[test]
    fn two_decimals_are_printed() {
        assert_eq!("49.5".parse::<Amount>().unwrap().to_string(), "49.50");
        assert_eq!(format!("{:>8}|", Amount::ZERO), "    0.00|");
        assert_eq!(serde_json::to_string(&Amount::MAX).unwrap(), r#""10000000000.00""#);
        assert_eq!(format_cents(-5), "-0.05");
        assert_eq!(format_cents(-12_345), "-123.45");
        assert_eq!(format_cents(i64::MAX), "92233720368547758.07");
        assert_eq!(format_cents(i64::MIN), "-92233720368547758.08");
    }
}
