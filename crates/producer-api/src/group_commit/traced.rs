//! What the trace of a request sees of its events: they say which trace they are part of, and it what became of them.

use order_events::OrderEvent;
use service_kit::trace::Sending;

use super::{Cause, Failure, Outcome, Stored};

/// Lets each event say which trace it is part of, unless it says so already.
pub(super) fn mark<'a>(events: impl Iterator<Item = &'a mut OrderEvent>, sending: &Sending) {
    let fields: Vec<_> = sending.fields().collect();
    let Some((first, _)) = fields.first() else { return };
    for event in events.filter(|event| event.metadata(first).is_none()) {
        event.metadata.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    }
}

/// Tells what became of the events of a request.
pub(super) fn tell(sending: &Sending, outcomes: &[Outcome]) {
    match outcomes.iter().find_map(|outcome| outcome.err()) {
        Some(Failure { cause, .. }) => {
            let unknown = outcomes
                .iter()
                .any(|outcome| matches!(outcome, Err(Failure { stored: Stored::Unknown, .. })));
            let confirmed_or_not = outcomes
                .iter()
                .all(|outcome| matches!(outcome, Ok(_) | Err(Failure { stored: Stored::Yes, .. })));
            let stored = match (unknown, confirmed_or_not) {
                (true, _) => Stored::Unknown,
                (false, true) => Stored::Yes,
                (false, false) => Stored::No,
            };
            sending.failed(label(cause), stored.as_str());
        }
        None => match outcomes {
            [Ok(written)] => sending.stored(Some(written.id)),
            _ => sending.stored(None::<&str>),
        },
    }
}

/// The cause, out of a closed set.
pub(super) const fn label(cause: Cause) -> &'static str {
    match cause {
        Cause::Redis(kind) => kind.label(),
        Cause::Deadline => "deadline",
        Cause::AtCap(_) => "at_cap",
        Cause::QueueFull => "queue_full",
        Cause::ShuttingDown => "shutting_down",
        Cause::WriterLost => "writer_lost",
        Cause::Conflict => "conflict",
        Cause::CannotConfirm(_) => "cannot_confirm",
        Cause::NotConfirmed { .. } => "not_confirmed",
    }
}
