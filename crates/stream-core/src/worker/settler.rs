//! Settling until answered: acks and dead letters are tried until Redis has replied to them.

use tokio_util::sync::CancellationToken;

use super::{Delivery, context::Context};
use crate::{DeadReason, Error, ErrorKind, SettledDead, StreamId, backoff::Backoff};

/// Acks entries, trying until the server has answered: their leases are held meanwhile.
pub(super) async fn ack_until_answered(context: &Context, ids: &[StreamId]) {
    until_answered(context, "an ack failed", || context.stream.ack(&context.group, ids)).await;
}

/// Dead-letters an entry, trying until the server has answered.
pub(super) async fn bury_until_answered(
    context: &Context,
    delivery: &Delivery,
    reason: DeadReason,
    message: &str,
) -> SettledDead {
    let Context { stream, group, consumer, .. } = context;
    let bury = || stream.dead_letter(group, consumer, delivery.id, reason, message, &delivery.fields);
    until_answered(context, "a dead letter could not be written", bury)
        .await
        .unwrap_or(SettledDead::NotPending)
}

/// Repeats `operation` with growing delays. `None` if the group is gone: there is nothing to settle, and
/// whatever the recreated group delivers again comes back by itself.
async fn until_answered<T, F: Future<Output = Result<T, Error>>>(
    context: &Context,
    failed: &'static str,
    mut operation: impl FnMut() -> F,
) -> Option<T> {
    let mut backoff = Backoff::new();
    // Ended from outside: a drain that overruns drops this future.
    let never = CancellationToken::new();
    loop {
        match operation().await {
            Ok(answer) => return Some(answer),
            Err(error) if error.kind() == ErrorKind::NoGroup => {
                context.metrics.redis_error(error.kind());
                return None;
            }
            Err(error) if backoff.is_first() => context.report(failed, &error),
            Err(error) => context.metrics.redis_error(error.kind()),
        }
        backoff.wait(&never).await;
    }
}
