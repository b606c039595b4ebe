//! One order: its state from the set of event types seen, and its latest events.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stream_core::Error;

use super::Queries;
use crate::keys;

/// Events of an order that are shown at most; the projection keeps no more than its own bound.
const HISTORY_SHOWN_MAX: usize = 1_000;

/// States, the one that settles the question first.
const STATES: [(&str, &str); 4] = [
    ("order.cancelled", "cancelled"),
    ("order.shipped", "shipped"),
    ("order.paid", "paid"),
    ("order.placed", "placed"),
];

impl Queries {
    /// What is known of an order; `None` if nothing is (any more).
    pub(crate) async fn order(&self, order_id: &str) -> Result<Option<Value>, Error> {
        let seen: BTreeMap<String, i64> =
            self.figures.hash(&keys::order(order_id)).await?.into_iter().collect();
        if seen.is_empty() {
            return Ok(None);
        }
        let newest = self.figures.top(&keys::history(order_id), HISTORY_SHOWN_MAX).await?;
        let history: Vec<Value> =
            newest.iter().rev().filter_map(|(event, _)| serde_json::from_str(event).ok()).collect();
        let customer = history.last().map_or(Value::Null, |event| event["customer"].clone());
        Ok(Some(json!({
            "order_id": order_id, "customer": customer, "state": state(&seen), "first_seen": seen,
            "history": history,
        })))
    }
}

fn state(seen: &BTreeMap<String, i64>) -> &'static str {
    STATES.iter().find(|(event_type, _)| seen.contains_key(*event_type)).map_or("other", |(_, state)| state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_does_not_depend_on_the_order_of_events() {
        let seen = |types: &[&str]| types.iter().map(|name| ((*name).to_owned(), 0)).collect();
        assert_eq!(state(&seen(&["order.paid", "order.placed"])), "paid");
        assert_eq!(state(&seen(&["order.shipped"])), "shipped");
        assert_eq!(state(&seen(&["order.placed", "order.cancelled", "order.paid"])), "cancelled");
        assert_eq!(state(&seen(&["order.refunded"])), "other");
    }
}
