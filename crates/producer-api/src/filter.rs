//! Which events somebody reads: of these types, of this order.

use stream_core::Entry;

/// What an entry must have. Nothing is asked of it at first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct EventFilter {
    /// One of these types; any, if there is none.
    pub(crate) types: Vec<String>,
    pub(crate) order_id: Option<String>,
}

impl EventFilter {
    /// Whether every entry fits.
    pub(crate) const fn is_everything(&self) -> bool {
        self.types.is_empty() && self.order_id.is_none()
    }

    /// Whether an entry fits, of which the first field of a name counts.
    pub(crate) fn fits(&self, entry: &Entry) -> bool {
        self.is_everything() || self.fits_values(entry.fields.get("type"), entry.fields.get("order_id"))
    }

    /// The same, of the values of an entry's fields `type` and `order_id`.
    pub(crate) fn fits_values(&self, event_type: Option<&[u8]>, order_id: Option<&[u8]>) -> bool {
        let is = |wanted: &String, value: Option<&[u8]>| value == Some(wanted.as_bytes());
        (self.types.is_empty() || self.types.iter().any(|wanted| is(wanted, event_type)))
            && self.order_id.as_ref().is_none_or(|wanted| is(wanted, order_id))
    }
}

#[cfg(test)]
mod tests {
    use stream_core::StreamId;

    use super::*;

    fn entry(pairs: &[(&'static str, &'static str)]) -> Entry {
        Entry { id: StreamId::new(5, 1), fields: pairs.iter().copied().collect() }
    }

    #[test]
    fn every_part_must_fit_and_one_of_the_types() {
        let of = |types: &[&str], order_id: Option<&str>| EventFilter {
            types: types.iter().map(|&name| name.to_owned()).collect(),
            order_id: order_id.map(str::to_owned),
        };
        let paid = entry(&[("order_id", "o-1"), ("type", "order.paid"), ("type", "order.placed")]);
        for filter in [
            of(&[], None),
            of(&["order.paid"], None),
            of(&["order.placed", "order.paid"], Some("o-1")),
            of(&[], Some("o-1")),
        ] {
            assert!(filter.fits(&paid), "{filter:?}");
        }
        for filter in [of(&["order.placed"], None), of(&["order.paid"], Some("o-2")), of(&["order"], None)] {
            assert!(!filter.fits(&paid), "{filter:?}");
        }
        let other = entry(&[("note", "x")]);
        assert!(
            of(&[], None).fits(&other) && !of(&[""], None).fits(&other) && !of(&[], Some("")).fits(&other)
        );
    }
}
