//! [`StreamId`]: the identity and the order of an entry.

use std::{fmt, str::FromStr};

use redis::{RedisWrite, ToRedisArgs, ToSingleRedisArg};
use serde::{Serialize, Serializer};

/// The ID of a stream entry: Unix milliseconds and a sequence number within that millisecond.
///
/// IDs order the entries of one stream; IDs of different streams say nothing about each other.
///
/// ```
/// use stream_core::StreamId;
/// let id: StreamId = "1716998413541-3".parse().unwrap();
/// assert_eq!(id.ms, 1_716_998_413_541);
/// assert!(id > "1716998413541".parse().unwrap());
/// assert_eq!(id.to_string(), "1716998413541-3");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    /// Unix time in milliseconds at which the server (or the producer) made the ID.
    pub ms: u64,
    /// Position within the millisecond.
    pub seq: u64,
}

/// Text that is not a stream ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a stream ID; expected <milliseconds> or <milliseconds>-<sequence>")]
pub struct ParseStreamIdError {
    text: String,
}

impl StreamId {
    /// The ID before every entry: a group created here gets the whole stream.
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    /// The ID after every entry.
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// An ID from its two parts.
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// The smallest ID above this one, or `None` at the end of the range.
    pub const fn next(self) -> Option<Self> {
        match (self.seq.checked_add(1), self.ms.checked_add(1)) {
            (Some(seq), _) => Some(Self { ms: self.ms, seq }),
            (None, Some(ms)) => Some(Self { ms, seq: 0 }),
            (None, None) => None,
        }
    }

    /// The largest ID below this one, or `None` at the start of the range.
    pub const fn prev(self) -> Option<Self> {
        match (self.seq.checked_sub(1), self.ms.checked_sub(1)) {
            (Some(seq), _) => Some(Self { ms: self.ms, seq }),
            (None, Some(ms)) => Some(Self { ms, seq: u64::MAX }),
            (None, None) => None,
        }
    }

    /// Parses the bytes of a reply without copying them into a `String` first.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, ParseStreamIdError> {
        let split = bytes.iter().position(|&b| b == b'-');
        let (ms, seq) = match split {
            Some(at) => (digits(&bytes[..at]), digits(&bytes[at + 1..])),
            None => (digits(bytes), Some(0)),
        };
        match (ms, seq) {
            (Some(ms), Some(seq)) => Ok(Self { ms, seq }),
            _ => Err(ParseStreamIdError {
                text: String::from_utf8_lossy(&bytes[..bytes.len().min(64)]).into_owned(),
            }),
        }
    }
}

fn digits(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |sum, b| {
        b.is_ascii_digit().then_some(())?;
        sum.checked_mul(10)?.checked_add(u64::from(b - b'0'))
    })
}

impl FromStr for StreamId {
    type Err = ParseStreamIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for StreamId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl ToRedisArgs for StreamId {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        out.write_arg_fmt(self);
    }
}

impl ToSingleRedisArg for StreamId {}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn parses_prints_and_orders() {
        for text in ["0-0", "1716998413541-0", "18446744073709551615-18446744073709551615"] {
            assert_eq!(text.parse::<StreamId>().unwrap().to_string(), text);
        }
        let ids: Vec<StreamId> = ["5-0", "5-1", "6", "50-0"].map(|t| t.parse().unwrap()).into();
        assert!(ids.is_sorted());
    }

    #[test]
    fn refuses_what_is_not_an_id() {
        for text in ["", "-", "1-", "-1", "a", "1-2-3", "+1", " 1", "18446744073709551616"] {
            assert!(text.parse::<StreamId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn neighbours_cross_the_millisecond() {
        let id = StreamId::new(5, u64::MAX);
        assert_eq!(id.next(), Some(StreamId::new(6, 0)));
        assert_eq!(id.next().unwrap().prev(), Some(id));
        assert_eq!(StreamId::MIN.prev(), None);
        assert_eq!(StreamId::MAX.next(), None);
    }

    proptest! {
        #[test]
        fn whatever_is_printed_is_read_again_and_in_order(a: (u64, u64), b: (u64, u64)) {
            let ids = [a, b].map(|(ms, seq)| StreamId::new(ms, seq));
            for id in ids {
                prop_assert_eq!(id.to_string().parse::<StreamId>(), Ok(id));
                prop_assert!(id.next().is_none_or(|next| next > id && next.prev() == Some(id)));
            }
            prop_assert_eq!(ids[0].cmp(&ids[1]), a.cmp(&b));
        }

        #[test]
        fn no_text_is_more_than_an_id_or_an_error(text in "[0-9+ -]{0,50}|\\PC*") {
            if let Ok(id) = text.parse::<StreamId>() {
                let (ms, seq) = text.split_once('-').unwrap_or((&text, "0"));
                prop_assert_eq!((ms.parse(), seq.parse()), (Ok(id.ms), Ok(id.seq)));
            }
        }
    }
}
