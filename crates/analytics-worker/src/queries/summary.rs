//! The summary: revenue, counts by type, the funnel, customers.

use std::collections::BTreeMap;

use order_events::format_cents;
use serde_json::{Value, json};
use stream_core::Error;

use super::Queries;
use crate::{
    calendar::{MINUTE_MS, minute_of},
    keys::{self, Measure},
};

/// The type that revenue counts.
const PAID: &str = "order.paid";

/// Events and cents by type.
pub(super) type Sums = BTreeMap<String, (i64, i64)>;

impl Queries {
    /// All time.
    pub(crate) async fn summary(&self) -> Result<Value, Error> {
        let fields: Vec<String> = self
            .types
            .iter()
            .flat_map(|name| Measure::BOTH.map(|measure| keys::total_field(name, measure)))
            .collect();
        let values = self.stream.projected_fields(keys::TOTALS, &fields).await?;
        let pairs = values.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        let sums: Sums = self.types.iter().cloned().zip(pairs).collect();
        let customers = self.stream.projected_count(keys::CUSTOMERS, i64::MIN).await?;
        let funnel = self.funnel().await?;
        let paid_orders = funnel.get(PAID).copied().unwrap_or(0);

        let mut summary = describe(&sums, customers);
        let revenue = sums.get(PAID).map_or(0, |(_, cents)| *cents);
        summary["average_order_value"] = average(revenue, paid_orders).map_or(Value::Null, Value::String);
        summary["orders"] = json!(funnel);
        Ok(summary)
    }

    /// The last `window_ms` before `now_ms`, to the minute, by event time.
    pub(crate) async fn summary_of_window(&self, now_ms: i64, window_ms: i64) -> Result<Value, Error> {
        let first = minute_of(now_ms - window_ms);
        let last = minute_of(now_ms);
        let mut sums: Sums = self.types.iter().map(|name| (name.clone(), (0, 0))).collect();
        for (_, bucket) in self.minute_sums(first, last).await? {
            for (name, (count, cents)) in bucket {
                let sum = sums.entry(name).or_default();
                *sum = (sum.0 + count, sum.1 + cents);
            }
        }
        // Whoever was last seen in the window has an event in it, and nobody else has.
        let customers = self.stream.projected_count(keys::LAST_SEEN, first * MINUTE_MS).await?;
        let mut summary = describe(&sums, customers);
        summary["from_ts_ms"] = json!(first * MINUTE_MS);
        summary["to_ts_ms"] = json!(now_ms);
        Ok(summary)
    }

    /// Customers by revenue, the highest first.
    pub(crate) async fn top_customers(&self, count: usize) -> Result<Value, Error> {
        let top = self.stream.projected_top(keys::CUSTOMERS, count).await?;
        let rows = top
            .into_iter()
            .map(|(customer, cents)| json!({ "customer": customer, "revenue": format_cents(cents) }));
        Ok(rows.collect())
    }

    /// For each type the number of orders that have had such an event.
    async fn funnel(&self) -> Result<BTreeMap<String, i64>, Error> {
        let counts = self.stream.projected_fields(keys::FUNNEL, &self.types).await?;
        Ok(self.types.iter().cloned().zip(counts).collect())
    }
}

fn describe(sums: &Sums, customers: u64) -> Value {
    let by_type: BTreeMap<&str, Value> = sums
        .iter()
        .map(|(name, (count, cents))| {
            (name.as_str(), json!({ "count": count, "amount": format_cents(*cents) }))
        })
        .collect();
    let revenue = sums.get(PAID).map_or(0, |(_, cents)| *cents);
    let events: i64 = sums.values().map(|(count, _)| count).sum();
    json!({
        "revenue": format_cents(revenue), "events": events, "by_type": by_type, "customers": customers,
    })
}

/// Cents a unit, rounded half up; `None` without units.
fn average(cents: i64, units: i64) -> Option<String> {
    (units > 0).then(|| format_cents((cents + units / 2) / units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_is_rounded_to_the_cent() {
        assert_eq!(average(100, 3).as_deref(), Some("0.33"));
        assert_eq!(average(200, 3).as_deref(), Some("0.67"));
        assert_eq!(average(5, 2).as_deref(), Some("0.03"));
        assert_eq!(average(5, 0), None);
    }
}
