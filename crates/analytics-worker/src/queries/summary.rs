//! The summary of all time: revenue, counts by type, the funnel, customers.

use std::collections::BTreeMap;

use order_events::format_cents;
use serde_json::{Value, json};
use stream_core::Error;

use super::{Queries, buckets::Sums};
use crate::keys::{self, Measure};

/// The type that revenue counts.
pub(super) const PAID: &str = "order.paid";

impl Queries {
    /// All time.
    pub(crate) async fn summary(&self) -> Result<Value, Error> {
        let fields: Vec<String> = self
            .types
            .iter()
            .flat_map(|name| Measure::BOTH.map(|measure| keys::total_field(name, measure)))
            .collect();
        let values = self.figures.fields(keys::TOTALS, &fields).await?;
        let pairs = values.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        let sums: Sums = self.types.iter().cloned().zip(pairs).collect();
        let customers = self.figures.count(keys::CUSTOMERS, i64::MIN..=i64::MAX).await?;
        let funnel = self.funnel().await?;
        let paid_orders = funnel.get(PAID).copied().unwrap_or(0);

        let mut summary = describe(&sums, customers);
        let revenue = sums.get(PAID).map_or(0, |(_, cents)| *cents);
        summary["average_order_value"] = average(revenue, paid_orders).map_or(Value::Null, Value::String);
        summary["orders"] = json!(funnel);
        Ok(summary)
    }

    /// Customers by revenue, the highest first.
    pub(crate) async fn top_customers(&self, count: usize) -> Result<Value, Error> {
        let top = self.figures.top(keys::CUSTOMERS, count).await?;
        let rows = top
            .into_iter()
            .map(|(customer, cents)| json!({ "customer": customer, "revenue": format_cents(cents) }));
        Ok(rows.collect())
    }

    /// For each type the number of orders that have had such an event.
    async fn funnel(&self) -> Result<BTreeMap<String, i64>, Error> {
        let counts = self.figures.fields(keys::FUNNEL, &self.types).await?;
        Ok(self.types.iter().cloned().zip(counts).collect())
    }
}

pub(super) fn describe(sums: &Sums, customers: u64) -> Value {
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
