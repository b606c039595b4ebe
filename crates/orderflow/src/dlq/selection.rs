//! Which dead letters: the flags that `ls`, `redrive` and `purge` share.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use stream_core::{DeadLetterFilter, DeadReason, StreamId};

use crate::durations;

/// Filters on dead letters.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Filters (all of them must fit)")]
pub(super) struct Filters {
    /// Only entries of this type, e.g. order.paid
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,

    /// Only entries of this order
    #[arg(long, value_name = "ID")]
    order_id: Option<String>,

    /// Only those that died for this reason
    #[arg(long, value_parser = PossibleValuesParser::new(DeadReason::ALL.map(DeadReason::label)).map(|label| reason(&label)))]
    reason: Option<DeadReason>,

    /// Only the entry that has this ID in the stream
    #[arg(long, value_name = "ID")]
    entry: Option<StreamId>,

    /// Only those that died since then: so long ago (7d, 90m), or a time (2026-05-29T16:00:00Z)
    #[arg(long, visible_alias = "newer-than", value_name = "AGO|TIME", value_parser = moment)]
    since: Option<u64>,

    /// Only those that died before then: so long ago, or a time
    #[arg(long, visible_alias = "older-than", value_name = "AGO|TIME", value_parser = moment)]
    until: Option<u64>,
}

impl Filters {
    pub(super) fn is_empty(&self) -> bool {
        self.filter().is_empty() && self.since.is_none() && self.until.is_none()
    }

    pub(super) fn filter(&self) -> DeadLetterFilter {
        let fields = [("type", &self.event_type), ("order_id", &self.order_id)];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        DeadLetterFilter { reason: self.reason, entry_id: self.entry, fields: fields.collect() }
    }

    /// The oldest and the newest ID that a dead letter of that time can have.
    pub(super) fn ids(&self) -> (StreamId, StreamId) {
        let start = self.since.map_or(StreamId::MIN, |ms| StreamId::new(ms, 0));
        // Without `--until` everything; with it, what died before that millisecond.
        let end = self.until.map_or(Some(StreamId::MAX), |ms| StreamId::new(ms, 0).prev());
        (start, end.unwrap_or(StreamId::MIN))
    }
}

fn reason(label: &str) -> DeadReason {
    let known = DeadReason::ALL.into_iter().find(|reason| reason.label() == label);
    known.expect("the parser lets only the reasons' labels pass")
}

/// Unix milliseconds of a time, or of so long ago.
fn moment(text: &str) -> Result<u64, String> {
    if let Ok(ago) = durations::parse(text) {
        return Ok(durations::now_ms().saturating_sub(ago.as_millis() as u64));
    }
    let time: jiff::Timestamp =
        text.parse().map_err(|_| "allowed: how long ago (90m, 7d) or a time (2026-05-29T16:00:00Z)")?;
    u64::try_from(time.as_millisecond()).map_err(|_| "a time before 1970".to_owned())
}

/// A time of death for people: UTC, to the second.
pub(super) fn shown_time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| format!("{ms} ms"), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// How long ago, for people.
pub(super) fn shown_age(ms: u64) -> String {
    durations::short(Duration::from_millis(durations::now_ms().saturating_sub(ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_times_or_so_long_ago() {
        assert_eq!(moment("2026-05-29T16:00:00Z"), Ok(1_780_070_400_000));
        let hour_ago = durations::now_ms() - 3_600_000;
        assert!(moment("1h").unwrap().abs_diff(hour_ago) < 10_000);
        for text in ["", "yesterday", "5", "1950-01-01T00:00:00Z"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_the_bounds_of_the_ids() {
        assert_eq!(Filters::default().ids(), (StreamId::MIN, StreamId::MAX));
        let filters = Filters { since: Some(5), until: Some(9), ..Filters::default() };
        assert_eq!(filters.ids(), (StreamId::new(5, 0), StreamId::new(8, u64::MAX)));
        assert!(!filters.is_empty() && Filters::default().is_empty());
    }

    #[test]
    fn times_are_shown_whatever_they_are() {
        assert_eq!(shown_time(1_780_070_400_123), "2026-05-29 16:00:00Z");
        assert_eq!(shown_time(u64::MAX), format!("{} ms", u64::MAX));
    }
}
