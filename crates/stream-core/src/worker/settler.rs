//! Settling until answered: acks and dead letters are tried until Redis has replied to them.

use tokio_util::sync::CancellationToken;

use super::{Delivery, context::Context, failures::Failures};
use crate::{DeadReason, Error, ErrorKind, SettledDead, StreamId, backoff::Backoff};

/// Acks entries, trying until the server has answered: their leases are held meanwhile. Returns how many were
/// this worker's to ack.
pub(super) async fn ack_until_answered(context: &Context, ids: &[StreamId]) -> usize {
    let answer = until_answered(context, "acking", || context.stream.settle(&context.group, ids)).await;
    match answer {
        // An earlier attempt has acked what this one did not find.
        Some(Answer { maybe_applied: true, .. }) => ids.len(),
        Some(Answer { value, .. }) => ids.len().min(value as usize),
        None => 0,
    }
}

/// Dead-letters an entry, trying until the server has answered.
pub(super) async fn bury_until_answered(
    context: &Context,
    delivery: &Delivery,
    reason: DeadReason,
    message: &str,
) -> SettledDead {
    let Context { stream, group, consumer, .. } = context;
    let bury = || stream.dead_letter(group, consumer, delivery.row, reason, message, &delivery.fields);
    match until_answered(context, "dead-lettering", bury).await {
        Some(Answer { value: SettledDead::NotPending, maybe_applied: true }) => SettledDead::Moved,
        Some(Answer { value, .. }) => value,
        None => SettledDead::NotPending,
    }
}

/// What the server has answered in the end.
struct Answer<T> {
    value: T,
    /// An attempt before may have been applied although its answer did not arrive.
    maybe_applied: bool,
}

/// Repeats `operation` with growing delays. `None` if the group is gone: there is nothing to settle, and
/// whatever the recreated group delivers again comes back by itself.
async fn until_answered<T, F: Future<Output = Result<T, Error>>>(
    context: &Context,
    doing: &'static str,
    mut operation: impl FnMut() -> F,
) -> Option<Answer<T>> {
    let mut backoff = Backoff::new();
    let mut failures = Failures::default();
    let mut maybe_applied = false;
    // Ended from outside: a drain that overruns drops this future.
    let never = CancellationToken::new();
    loop {
        match operation().await {
            Ok(value) => {
                context.works(&mut failures, doing);
                return Some(Answer { value, maybe_applied });
            }
            Err(error) => {
                if error.kind() == ErrorKind::NoGroup {
                    context.metrics.redis_error(error.kind());
                    return None;
                }
                maybe_applied |= error.may_have_been_applied();
                context.failed_vital(&mut failures, doing, &error);
            }
        }
        backoff.wait(&never).await;
    }
}
