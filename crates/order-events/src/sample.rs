//! Made-up order events, for demonstrations.

use crate::{amount::Amount, event::OrderEvent, event_type::EventType};

/// The customers of the made-up orders.
pub const CUSTOMERS: [&str; 5] = ["alice", "bob", "carol", "dan", "erin"];

/// Makes up valid order events from a source of random numbers.
///
/// ```
/// use order_events::sample::SampleEvents;
///
/// let mut seed = 7_u64;
/// let mut events = SampleEvents::new(move || {
///     seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
///     seed
/// });
/// let event = events.next_event(1_716_998_413_541);
/// assert!(event.order_id.starts_with("o-"));
/// assert_eq!(event.ts_ms, 1_716_998_413_541);
/// ```
#[derive(Clone, Debug)]
pub struct SampleEvents<R> {
    random: R,
}

impl<R: FnMut() -> u64> SampleEvents<R> {
    /// A generator that draws on `random`, which should give any `u64` with equal chance.
    pub const fn new(random: R) -> Self {
        Self { random }
    }

    /// The next event, which happened at `ts_ms` (Unix milliseconds): one of the four known types, an order
    /// from `o-1000` to `o-9999`, and 5.00 to 499.99 of money.
    pub fn next_event(&mut self, ts_ms: u64) -> OrderEvent {
        let event_type = EventType::KNOWN[self.below(4) as usize].clone();
        let order_id = format!("o-{}", 1_000 + self.below(9_000));
        let customer = CUSTOMERS[self.below(CUSTOMERS.len() as u64) as usize].to_owned();
        let cents = 500 + self.below(49_500) as i64;
        let amount = Amount::from_cents(cents).unwrap_or(Amount::MAX);
        OrderEvent {
            event_type,
            order_id,
            customer,
            amount,
            ts_ms,
            ts_ms_is_receipt: false,
            extra: Vec::new(),
            metadata: Vec::new(),
        }
    }

    /// A number from 0 to `bound - 1`. The upper bits decide: with many generators they are the better ones.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from((self.random)()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_extremes_of_the_source_give_the_extremes_of_the_events() {
        let low = SampleEvents::new(|| 0).next_event(1);
        assert_eq!((low.event_type, low.order_id.as_str()), (EventType::Placed, "o-1000"));
        assert_eq!((low.customer.as_str(), low.amount.to_string().as_str()), ("alice", "5.00"));
        let high = SampleEvents::new(|| u64::MAX).next_event(2);
        assert_eq!((high.event_type, high.order_id.as_str()), (EventType::Cancelled, "o-9999"));
        assert_eq!((high.customer.as_str(), high.amount.to_string().as_str()), ("erin", "499.99"));
    }

    #[test]
    fn all_types_and_customers_come_up() {
        let mut seed = 1_u64;
        let mut samples = SampleEvents::new(move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed
        });
        let events: Vec<OrderEvent> = (0..500).map(|ts_ms| samples.next_event(ts_ms)).collect();
        let types: HashSet<&str> = events.iter().map(|event| event.event_type.as_str()).collect();
        let customers: HashSet<&str> = events.iter().map(|event| event.customer.as_str()).collect();
        assert_eq!((types.len(), customers.len()), (4, 5));
    }
}
