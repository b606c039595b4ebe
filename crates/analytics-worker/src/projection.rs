//! [`OrderProjection`]: what each order event adds to the figures.

use std::time::Duration;

use order_events::{EventType, EventTypes, EventView};
use serde_json::json;
use service_kit::config::Analytics;
use stream_core::{Delivery, Effects, Projection, Rejection};

use crate::{
    calendar::{DAY_MINUTES, date_of, minute_of},
    keys::{self, Measure},
};

/// The type under which events of types unknown to the configuration are counted.
pub(crate) const OTHER: &str = "other";

/// Turns order events into effects. Needs no order between events: an order's state is the set of event
/// types seen, and everything else is a sum or a maximum.
#[derive(Debug)]
pub(crate) struct OrderProjection {
    types: EventTypes,
    minute_ttl: Duration,
    order_ttl: Duration,
    history_max: u32,
}

impl OrderProjection {
    pub(crate) fn new(types: EventTypes, settings: &Analytics) -> Self {
        Self {
            types,
            minute_ttl: settings.minute_bucket_ttl,
            order_ttl: settings.order_ttl,
            history_max: u32::try_from(settings.history_max).unwrap_or(u32::MAX),
        }
    }
}

impl Projection for OrderProjection {
    fn project(&self, delivery: &Delivery, effects: &mut Effects<'_>) -> Result<(), Rejection> {
        let event = EventView::from_fields(delivery.id.ms, delivery.fields.iter())
            .map_err(|error| Rejection { reason: error.to_string() })?;
        let ts_ms = event.ts_ms as i64;
        let date = date_of(ts_ms)
            .ok_or_else(|| Rejection { reason: format!("ts_ms: {ts_ms} is past the year 9999") })?
            .to_string();
        let name = event.event_type.as_str();
        let counted_as = if self.types.contains(name) { name } else { OTHER };

        self.add_sums(
            effects,
            &date,
            minute_of(ts_ms).rem_euclid(DAY_MINUTES),
            counted_as,
            event.amount.cents(),
        );
        // Revenue is what was paid. Adding 0 makes the customer known all the same.
        let revenue = if event.event_type == EventType::Paid { event.amount.cents() } else { 0 };
        effects.sorted_set_increment(keys::CUSTOMERS, event.customer, revenue);
        effects.sorted_set_max(keys::LAST_SEEN, event.customer, ts_ms);
        self.add_to_order(effects, delivery, &event, counted_as);
        Ok(())
    }

    fn key_prefixes(&self) -> &[&str] {
        &[keys::PREFIX]
    }
}

impl OrderProjection {
    /// Counts and amounts: of all time, of the day, of the minute.
    fn add_sums(&self, effects: &mut Effects<'_>, date: &str, minute: i64, counted_as: &str, cents: i64) {
        let minutes = keys::minutes(date);
        for (measure, by) in [(Measure::Count, 1), (Measure::Cents, cents)] {
            effects.hash_increment(keys::TOTALS, &keys::total_field(counted_as, measure), by);
            effects.hash_increment(keys::DAYS, &keys::bucket_field(date, counted_as, measure), by);
            effects.hash_increment(&minutes, &keys::bucket_field(minute, counted_as, measure), by);
        }
        effects.expire(&minutes, self.minute_ttl);
    }

    /// The order's own state and history, and the funnel, which counts an order once for each type.
    fn add_to_order(
        &self,
        effects: &mut Effects<'_>,
        delivery: &Delivery,
        event: &EventView<'_>,
        counted_as: &str,
    ) {
        let (order, history) = (keys::order(event.order_id), keys::history(event.order_id));
        let ts_ms = event.ts_ms as i64;
        let name = event.event_type.as_str();
        effects.count_first(&order, name, ts_ms, keys::FUNNEL, counted_as);
        effects.expire(&order, self.order_ttl);
        let event = json!({
            "id": delivery.id.to_string(), "type": name, "amount": event.amount.to_string(),
            "ts_ms": ts_ms, "customer": event.customer,
        });
        effects.sorted_set_keep(&history, &event.to_string(), ts_ms, self.history_max);
        effects.expire(&history, self.order_ttl);
    }
}
