//! Event types, and the list of those that producers may send.

use std::fmt;

use crate::text::{check_text, shorten};

/// What happened to an order.
///
/// An unknown type is not an error when an entry is read: during a rolling deploy a newer producer may write
/// types that this process does not know yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// `order.placed`: the customer ordered.
    Placed,
    /// `order.paid`: the money arrived.
    Paid,
    /// `order.shipped`: the goods left.
    Shipped,
    /// `order.cancelled`: the order was called off.
    Cancelled,
    /// Any other type. Built through [`From`], it never holds one of the four names above.
    Other(String),
}

impl EventType {
    /// The four types that are always known.
    pub const KNOWN: [Self; 4] = [Self::Placed, Self::Paid, Self::Shipped, Self::Cancelled];

    /// Every value that [`EventType::label`] can have, so that a metric's series can all start at 0.
    pub const LABELS: [&'static str; 5] =
        ["order.placed", "order.paid", "order.shipped", "order.cancelled", "other"];

    /// The name as it stands in an entry's `type` field.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(name) => name,
            known => known.label(),
        }
    }

    /// The name from a closed set, for metrics: anything but the four known types is `other`.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Placed => "order.placed",
            Self::Paid => "order.paid",
            Self::Shipped => "order.shipped",
            Self::Cancelled => "order.cancelled",
            Self::Other(_) => "other",
        }
    }

    fn known(name: &str) -> Option<Self> {
        Some(match name {
            "order.placed" => Self::Placed,
            "order.paid" => Self::Paid,
            "order.shipped" => Self::Shipped,
            "order.cancelled" => Self::Cancelled,
            _ => return None,
        })
    }
}

impl From<&str> for EventType {
    fn from(name: &str) -> Self {
        Self::known(name).unwrap_or_else(|| Self::Other(name.to_owned()))
    }
}

impl From<String> for EventType {
    fn from(name: String) -> Self {
        Self::known(&name).unwrap_or(Self::Other(name))
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The types that producers may send; by default the four known ones.
///
/// [`fmt::Display`] writes them as a list for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTypes {
    types: Vec<EventType>,
}

/// Why a configured list of event types cannot be used. Names are shortened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEventTypes {
    /// The list is empty, so that no event could ever be sent.
    #[error("the list of event types is empty; give at least one")]
    Empty,
    /// Some names cannot be a `type`.
    #[error("not usable as event types: {}; allowed: 1 to 128 printable characters each", .0.join(", "))]
    Names(Vec<String>),
}

impl EventTypes {
    /// Allows exactly the types named, in their order; repeated names count once.
    pub fn new(names: impl IntoIterator<Item = String>) -> Result<Self, InvalidEventTypes> {
        let mut types = Vec::new();
        let mut bad = Vec::new();
        for name in names {
            if check_text(&name).is_err() {
                bad.push(format!("{:?}", shorten(&name)));
                continue;
            }
            let event_type = EventType::from(name);
            if !types.contains(&event_type) {
                types.push(event_type);
            }
        }
        if !bad.is_empty() {
            return Err(InvalidEventTypes::Names(bad));
        }
        if types.is_empty() {
            return Err(InvalidEventTypes::Empty);
        }
        Ok(Self { types })
    }

    /// Whether producers may send `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.types.iter().any(|allowed| allowed.as_str() == name)
    }

    /// The allowed types, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &EventType> {
        self.types.iter()
    }
}

impl Default for EventTypes {
    fn default() -> Self {
        Self { types: EventType::KNOWN.to_vec() }
    }
}

impl fmt::Display for EventTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, event_type) in self.types.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{event_type}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_recognized_and_others_kept() {
        for (event_type, label) in EventType::KNOWN.iter().zip(EventType::LABELS) {
            assert_eq!(&EventType::from(label), event_type);
            assert_eq!(event_type.as_str(), label);
            assert_eq!(event_type.label(), label);
        }
        let refunded = EventType::from("order.refunded".to_owned());
        assert_eq!(refunded, EventType::Other("order.refunded".to_owned()));
        assert_eq!(refunded.to_string(), "order.refunded");
        assert_eq!(refunded.label(), "other");
        assert_eq!(EventType::from("Order.Paid").label(), "other", "names are case-sensitive");
    }

    #[test]
    fn the_default_list_is_the_four() {
        let types = EventTypes::default();
        assert_eq!(types.to_string(), "order.placed, order.paid, order.shipped, order.cancelled");
        assert!(types.contains("order.paid"));
        assert!(!types.contains("order.refunded"));
        assert!(!types.contains("other"));
    }

    #[test]
    fn a_configured_list_replaces_the_default() {
        let names = ["order.refunded", "order.paid", "order.refunded"].map(str::to_owned);
        let types = EventTypes::new(names).unwrap();
        assert_eq!(types.to_string(), "order.refunded, order.paid");
        assert_eq!(types.iter().count(), 2);
        assert!(!types.contains("order.placed"));
    }

    #[test]
    fn unusable_lists_name_every_bad_entry() {
        assert_eq!(EventTypes::new([]), Err(InvalidEventTypes::Empty));
        let error = EventTypes::new(["", "ok", "a\nb"].map(str::to_owned)).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"not usable as event types: "", "a\nb"; allowed: 1 to 128 printable characters each"#
        );
    }
}
