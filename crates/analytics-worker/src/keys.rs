//! The projection's keys and fields: written by `projection`, read by `queries`, named here alone.

/// What the names of all keys of the projection begin with, and of no others.
pub(crate) const PREFIX: &str = "analytics:";
/// Hash: `<type>:n` and `<type>:c`, events and cents of all time.
pub(crate) const TOTALS: &str = "analytics:totals";
/// Hash: `<date>:<type>:n` and `<date>:<type>:c`, kept for ever.
pub(crate) const DAYS: &str = "analytics:days";
/// Hash: `<type>` to the number of orders that have had such an event.
pub(crate) const FUNNEL: &str = "analytics:funnel";
/// Sorted set: every customer by revenue in cents.
pub(crate) const CUSTOMERS: &str = "analytics:customers";
/// Sorted set: every customer by the time of their latest event, Unix ms.
pub(crate) const LAST_SEEN: &str = "analytics:last-seen";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Events.
    Count,
    /// Sum of amounts in cents.
    Cents,
}

impl Measure {
    pub(crate) const BOTH: [Self; 2] = [Self::Count, Self::Cents];

    const fn code(self) -> &'static str {
        match self {
            Self::Count => "n",
            Self::Cents => "c",
        }
    }
}

/// Hash of one day of event time: `<minute of day>:<type>:n` and `…:c`.
pub(crate) fn minutes(date: &str) -> String {
    format!("analytics:minutes:{date}")
}

/// Hash: event type to the time of the first such event of the order, Unix ms.
pub(crate) fn order(order_id: &str) -> String {
    format!("analytics:order:{order_id}")
}

/// Sorted set: the order's newest events by event time, each as JSON.
pub(crate) fn history(order_id: &str) -> String {
    format!("analytics:history:{order_id}")
}

/// A field of [`TOTALS`].
pub(crate) fn total_field(event_type: &str, measure: Measure) -> String {
    format!("{event_type}:{}", measure.code())
}

/// A field of [`DAYS`] (a date) or of a [`minutes`] hash (a minute of the day).
pub(crate) fn bucket_field(bucket: impl std::fmt::Display, event_type: &str, measure: Measure) -> String {
    format!("{bucket}:{event_type}:{}", measure.code())
}

/// The parts of a [`minutes`] field.
pub(crate) fn parse_minute_field(field: &str) -> Option<(u32, &str, Measure)> {
    let (minute, rest) = field.split_once(':')?;
    let (event_type, code) = rest.rsplit_once(':')?;
    let measure = Measure::BOTH.into_iter().find(|measure| measure.code() == code)?;
    Some((minute.parse().ok()?, event_type, measure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minute_fields_come_apart_again() {
        let field = bucket_field(1439, "order:odd.type", Measure::Cents);
        assert_eq!(parse_minute_field(&field), Some((1439, "order:odd.type", Measure::Cents)));
        assert_eq!(parse_minute_field("nonsense"), None);
    }
}
