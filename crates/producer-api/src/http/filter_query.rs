//! The parameters `type` and `order_id`, which pages and the tail share.

use service_kit::query::{Parameters, quoted};

use crate::filter::EventFilter;

/// Most types of one filter.
pub(super) const TYPES_MAX: usize = 20;
/// Characters of a type or an order's ID, as events may have them.
const CHARS_MAX: usize = order_events::MAX_TEXT_CHARS;

/// Reads both; mistakes are kept by the parameters.
pub(super) fn read(parameters: &mut Parameters) -> EventFilter {
    let types = parameters.read_all("type", text);
    if types.len() > TYPES_MAX {
        parameters.fail("type", format!("is there {} times; allowed: at most {TYPES_MAX}", types.len()));
    }
    EventFilter { types, order_id: parameters.read("order_id", text) }
}

/// Not restricted to the types that may be sent: the stream can hold others.
fn text(text: &str) -> Result<String, String> {
    if (1..=CHARS_MAX).contains(&text.chars().count()) {
        Ok(text.to_owned())
    } else {
        Err(format!("{} is not usable; allowed: 1 to {CHARS_MAX} characters", quoted(text)))
    }
}
