//! [`Templates`]: the text of a message by event type, with `{field}` for what the event says.

use std::collections::{BTreeMap, HashMap};

use order_events::EventView;

/// Texts of the types that every producer may send.
const DEFAULTS: [(&str, &str); 4] = [
    ("order.placed", "Thank you, {customer}: your order {order_id} over {amount} has been placed."),
    ("order.paid", "{customer}, we have received {amount} for your order {order_id}."),
    ("order.shipped", "{customer}, your order {order_id} is on its way."),
    ("order.cancelled", "{customer}, your order {order_id} over {amount} has been cancelled."),
];

/// What a template may name.
const FIELDS: &str = "{type}, {order_id}, {customer}, {amount}";

/// A template that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("notifications.templates: the text for {event_type:?} {problem}; allowed are {FIELDS}")]
pub(crate) struct TemplateError {
    event_type: String,
    problem: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    EventType,
    OrderId,
    Customer,
    Amount,
}

/// The templates, parsed once.
#[derive(Debug, Clone)]
pub(crate) struct Templates(HashMap<String, Vec<Part>>);

impl Templates {
    /// The built-in texts, with `overrides` in their place or beside them.
    pub(crate) fn new(overrides: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let own = overrides.iter().map(|(event_type, text)| (event_type.as_str(), text.as_str()));
        let parsed = DEFAULTS.into_iter().chain(own).map(|(event_type, text)| {
            let parts = parse(text)
                .map_err(|problem| TemplateError { event_type: event_type.to_owned(), problem })?;
            Ok((event_type.to_owned(), parts))
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// The text for an event, or `None` if its type has none.
    pub(crate) fn render(&self, event: &EventView<'_>) -> Option<String> {
        let parts = self.0.get(event.event_type.as_str())?;
        let mut text = String::with_capacity(128);
        for part in parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::EventType => text.push_str(event.event_type.as_str()),
                Part::OrderId => text.push_str(event.order_id),
                Part::Customer => text.push_str(event.customer),
                Part::Amount => text.push_str(&event.amount.to_string()),
            }
        }
        Some(text)
    }
}

fn parse(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}').ok_or("has a `{` that is never closed")?;
        parts.push(Part::Text(literal.to_owned()));
        parts.push(match name {
            "type" => Part::EventType,
            "order_id" => Part::OrderId,
            "customer" => Part::Customer,
            "amount" => Part::Amount,
            other => return Err(format!("names {{{other}}}")),
        });
        rest = tail;
    }
    parts.push(Part::Text(rest.to_owned()));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event_type: &'static str) -> EventView<'static> {
        let fields = [("type", event_type), ("order_id", "o-1"), ("customer", "bob"), ("amount", "7.5")];
        EventView::from_fields(0, fields.map(|(field, value)| (field.as_bytes(), value.as_bytes()))).unwrap()
    }

    #[test]
    fn built_in_texts_are_filled_in() {
        let templates = Templates::new(&BTreeMap::new()).unwrap();
        let text = templates.render(&event("order.paid")).unwrap();
        assert_eq!(text, "bob, we have received 7.50 for your order o-1.");
        assert_eq!(templates.render(&event("order.refunded")), None);
    }

    #[test]
    fn a_configured_text_replaces_or_adds() {
        let own = [("order.paid", "{type}!"), ("order.refunded", "{amount} back")];
        let own = own.map(|(event_type, text)| (event_type.to_owned(), text.to_owned())).into();
        let templates = Templates::new(&own).unwrap();
        assert_eq!(templates.render(&event("order.paid")).unwrap(), "order.paid!");
        assert_eq!(templates.render(&event("order.refunded")).unwrap(), "7.50 back");
    }

    #[test]
    fn a_wrong_template_says_what_is_allowed() {
        for (text, problem) in [("{total}", "names {total}"), ("{amount", "never closed")] {
            let own = [("order.paid".to_owned(), text.to_owned())].into();
            let error = Templates::new(&own).unwrap_err().to_string();
            assert!(
                error.contains(problem) && error.contains("order.paid") && error.contains(FIELDS),
                "{error}"
            );
        }
    }
}
