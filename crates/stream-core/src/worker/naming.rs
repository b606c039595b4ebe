//! Keeps a consumer's name: renews its lease, and stops the reading while it is lost.

use std::sync::Arc;

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::consumer::Context;
use crate::{NameError, NameLease};

/// Renews `name` until `stop`. `held` is false from the moment the lease may have run out until it is ours
/// again; `ready` counts consumers that hold their names.
pub(super) async fn keep_name(
    context: Arc<Context>,
    name: NameLease,
    held: watch::Sender<bool>,
    ready: watch::Sender<usize>,
    stop: CancellationToken,
) {
    let ttl = context.settings.lease_ttl;
    let mut confirmed = Instant::now();
    let mut failing = false;
    set_held(&held, &ready, true, true);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(context.settings.lease_renew_interval) => {}
        }
        let asked = Instant::now();
        match name.renew().await {
            Ok(true) => {
                confirmed = asked;
                failing = false;
                set_held(&held, &ready, true, false);
            }
            Ok(false) => {
                lose(&context, &held, &ready);
                match name.retake().await {
                    Ok(()) => {
                        confirmed = asked;
                        set_held(&held, &ready, true, false);
                        tracing::info!(consumer = %context.consumer, "the name is ours again");
                    }
                    Err(NameError::Redis(error)) => context.report("cannot reserve the name again", &error),
                    Err(taken) => tracing::error!(error = %taken, "the name was taken over; not reading"),
                }
            }
            Err(error) => {
                // The lease may still be ours: reading goes on until it must have run out.
                context.metrics.redis_error(error.kind());
                if !failing {
                    tracing::warn!(consumer = %context.consumer, %error, "could not renew the name");
                    failing = true;
                }
                if confirmed.elapsed() >= ttl {
                    lose(&context, &held, &ready);
                }
            }
        }
    }
    set_held(&held, &ready, false, false);
}

fn lose(context: &Context, held: &watch::Sender<bool>, ready: &watch::Sender<usize>) {
    if *held.borrow() {
        context.metrics.names_lost.inc();
        tracing::warn!(consumer = %context.consumer, "the name's lease was lost; reading stops until it is ours again");
    }
    set_held(held, ready, false, false);
}

/// Keeps `ready` in step with `held`; `first` counts the consumer in.
fn set_held(held: &watch::Sender<bool>, ready: &watch::Sender<usize>, now: bool, first: bool) {
    let before = held.send_replace(now) && !first;
    if before != now {
        ready.send_modify(|count| *count = if now { *count + 1 } else { count.saturating_sub(1) });
    }
}
