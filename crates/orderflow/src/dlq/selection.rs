//! Which dead letters: the flags that `ls`, `redrive` and `purge` share.

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use stream_core::{DeadLetterFilter, DeadReason, StreamId};

use crate::moment::{self, Moment};

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

    /// Only those that died since then, e.g. 90m, yesterday or 2026-05-29T16:00:00Z
    #[arg(long, visible_alias = "newer-than", value_name = "WHEN", value_parser = moment::parse)]
    since: Option<Moment>,

    /// Only those that died before then, e.g. 7d
    #[arg(long, visible_alias = "older-than", value_name = "WHEN", value_parser = moment::parse)]
    until: Option<Moment>,
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
        let start = self.since.map_or(StreamId::MIN, Moment::first);
        // Without `--until` everything; with it, what died before that moment.
        let end = self.until.map_or(Some(StreamId::MAX), |until| until.first().prev());
        (start, end.unwrap_or(StreamId::MIN))
    }
}

fn reason(label: &str) -> DeadReason {
    let known = DeadReason::ALL.into_iter().find(|reason| reason.label() == label);
    known.expect("the parser lets only the reasons' labels pass")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_the_bounds_of_the_ids() {
        assert_eq!(Filters::default().ids(), (StreamId::MIN, StreamId::MAX));
        let filters =
            Filters { since: Some(Moment::Time(5)), until: Some(Moment::Time(9)), ..Filters::default() };
        assert_eq!(filters.ids(), (StreamId::new(5, 0), StreamId::new(8, u64::MAX)));
        assert!(!filters.is_empty() && Filters::default().is_empty());
    }
}
