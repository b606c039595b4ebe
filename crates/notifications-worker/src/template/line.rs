//! [`Line`]: a text of one line with `{field}` for what the event says.

use order_events::EventView;

/// What a line may name.
pub(super) const FIELDS: &str = "{type}, {order_id}, {customer}, {amount}";

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    EventType,
    OrderId,
    Customer,
    Amount,
}

/// The parsed text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line(Vec<Part>);

impl Line {
    /// Parses a text; the problem says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
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
        Ok(Self(parts))
    }

    /// The text about an event.
    pub(super) fn render(&self, event: &EventView<'_>) -> String {
        let mut text = String::with_capacity(128);
        for part in &self.0 {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::EventType => text.push_str(event.event_type.as_str()),
                Part::OrderId => text.push_str(event.order_id),
                Part::Customer => text.push_str(event.customer),
                Part::Amount => text.push_str(&event.amount.to_string()),
            }
        }
        text
    }
}
