//! Keeps a consumer's name: renews its lease, and stops the reading while it is lost.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::context::Context;
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
    let Context { consumer, metrics, settings, .. } = &*context;
    let mut confirmed = Instant::now();
    let mut pause = settings.lease_renew_interval;
    let mut failing = false;
    set_held(&held, &ready, true, true);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(pause) => pause = settings.lease_renew_interval,
        }
        let (asked, is_held) = (Instant::now(), *held.borrow());
        let renewed = tokio::select! {
            () = stop.cancelled() => break,
            // No answer: the lease may still be ours, but not for longer than this.
            () = sleep_until(confirmed + settings.lease_ttl), if is_held => {
                lose(&context, &held, &ready);
                continue;
            }
            renewed = name.renew() => renewed,
        };
        match renewed {
            Ok(true) => {
                confirmed = asked;
                failing = false;
                if !is_held {
                    tracing::info!(%consumer, "the name is ours again");
                }
                set_held(&held, &ready, true, false);
            }
            Ok(false) => {
                lose(&context, &held, &ready);
                let retaken = tokio::select! {
                    () = stop.cancelled() => break,
                    retaken = name.retake() => retaken,
                };
                match retaken {
                    // Renewed at once, and then held.
                    Ok(()) => pause = Duration::ZERO,
                    Err(NameError::Redis(error)) => context.report("cannot reserve the name again", &error),
                    Err(taken) => tracing::error!(error = %taken, "the name was taken over; not reading"),
                }
            }
            Err(error) => {
                // Reading goes on until the lease must have run out.
                metrics.redis_error(error.kind());
                if !failing {
                    tracing::warn!(%consumer, %error, "could not renew the name");
                    failing = true;
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
