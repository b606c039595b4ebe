//! Watching what admission depends on: memory, the length while nothing is written, and who is in the way.

use std::time::Duration;

use service_kit::config::{Retention, RetentionPolicy};
use stream_core::{Error, ErrorKind, EventStream, MemoryUse, RetentionRule, StreamId};
use tokio::time::timeout;

use super::{Admission, Cap, Holder};
use crate::clock::unix_ms;

/// How often to look. The memory cap may be passed by what is written meanwhile.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks again and again; never returns. Nothing is sent where nothing is capped.
pub(crate) async fn watch(admission: &Admission, stream: &EventStream, retention: &Retention) {
    if !admission.is_limited() {
        return std::future::pending().await;
    }
    let mut refused = false;
    loop {
        let memory = MemoryUse::ask(stream.connection()).await.map(|memory| admission.memory(memory));
        let length = stream.length().await.map(|length| admission.length(length));
        let mut refusal = None;
        for (cap, result) in [(Cap::Memory, memory), (Cap::Entries, length)] {
            // While Redis is away, what was known last stands, and the service says so already.
            if let Err(error) = result
                && !is_away(&error)
            {
                admission.unknown(cap);
                refusal = Some((cap, error));
            }
        }
        if let Some((cap, error)) = &refusal
            && !refused
        {
            tracing::warn!(cap = cap.label(), %error, "this hard cap of retention is not enforced: it cannot be read");
        }
        refused = refusal.is_some();
        if admission.closed().is_some() {
            match find_holder(stream, retention).await {
                Ok(holder) => admission.holder(holder),
                // It is for the message alone.
                Err(error) => tracing::debug!(%error, "cannot tell which group holds retention back"),
            }
        }
        // Once admission is closed, somebody should look at once who is in the way.
        _ = timeout(INTERVAL, admission.was_closed()).await;
    }
}

fn is_away(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Connection
            | ErrorKind::Timeout
            | ErrorKind::Loading
            | ErrorKind::MaxClients
            | ErrorKind::Tls
    )
}

/// Who is furthest behind of those that retention waits for.
async fn find_holder(stream: &EventStream, retention: &Retention) -> Result<Option<Holder>, Error> {
    if retention.policy != RetentionPolicy::Guarded {
        return Ok(None);
    }
    let registered = stream.registered_consumers().await?;
    let oldest_kept = u128::from(unix_ms()).saturating_sub(retention.age.as_millis()) as u64;
    // If nobody needs what is old enough to go: as if everything were.
    for (cutoff, alone) in [(StreamId::new(oldest_kept, 0), true), (StreamId::MAX, false)] {
        let rule = RetentionRule {
            cutoff,
            guarded: true,
            required: retention.groups.clone(),
            stale_after: retention.stale_group_after,
        };
        let outlook = stream.retention_outlook(&rule, &registered).await?;
        if let Some(name) = outlook.held_by {
            let is_group =
                rule.required.contains(&name) || outlook.groups.iter().any(|group| group.name == name);
            let rebuilds = name.strip_prefix("rebuild:").filter(|_| !is_group).map(ToOwned::to_owned);
            return Ok(Some(Holder { name, rebuilds, alone }));
        }
    }
    Ok(None)
}
