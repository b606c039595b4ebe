//! Which entries: the flags that `tail` and `replay` share.

use stream_core::Fields;

/// Filters on entries.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Filters (all of them must fit)")]
pub(crate) struct EntryFilter {
    /// Only entries of this type, e.g. order.paid
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,

    /// Only entries of this order
    #[arg(long, value_name = "ID")]
    order_id: Option<String>,

    /// Only entries of this customer
    #[arg(long, value_name = "NAME")]
    customer: Option<String>,

    /// Only entries with this text, as it is written, in the name or the value of a field
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    contains: Option<String>,
}

impl EntryFilter {
    /// Whether every entry fits.
    pub(crate) fn is_empty(&self) -> bool {
        self.equal().all(|(_, wanted)| wanted.is_none()) && self.contains.is_none()
    }

    /// Whether an entry with these fields is wanted.
    pub(crate) fn fits(&self, fields: &Fields) -> bool {
        let equal = |(name, wanted): (&str, Option<&String>)| {
            wanted.is_none_or(|wanted| fields.get(name) == Some(wanted.as_bytes()))
        };
        self.equal().all(equal)
            && self.contains.as_ref().is_none_or(|text| {
                fields
                    .iter()
                    .any(|(name, value)| contains(name, text.as_bytes()) || contains(value, text.as_bytes()))
            })
    }

    fn equal(&self) -> impl Iterator<Item = (&'static str, Option<&String>)> {
        let fields = [("type", &self.event_type), ("order_id", &self.order_id), ("customer", &self.customer)];
        fields.into_iter().map(|(name, wanted)| (name, wanted.as_ref()))
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_asked_for_must_fit() {
        let pairs = [("type", "order.paid"), ("order_id", "o-1"), ("note", "fragile")];
        let fields: Fields = pairs.into_iter().collect();
        let filter = |event_type: Option<&str>, order_id: Option<&str>, contains: Option<&str>| {
            let [event_type, order_id, contains] =
                [event_type, order_id, contains].map(|text| text.map(str::to_owned));
            EntryFilter { event_type, order_id, customer: None, contains }.fits(&fields)
        };
        assert!(filter(None, None, None) && EntryFilter::default().is_empty());
        assert!(filter(Some("order.paid"), Some("o-1"), Some("agil")));
        assert!(!filter(Some("order.paid"), Some("o-2"), None), "both must fit");
        assert!(filter(None, None, Some("not")), "the name of a field");
        assert!(!filter(None, None, Some("Fragile")), "as it is written");
        let nobody = EntryFilter { customer: Some("alice".to_owned()), ..EntryFilter::default() };
        assert!(!nobody.fits(&fields), "there is no such field");
    }
}
