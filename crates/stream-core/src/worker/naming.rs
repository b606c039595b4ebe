//! Keeps a consumer's name: renews its lease, and stops the reading while it is lost.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{ConsumersReady, context::Context, control::ConsumerState, failures::Failures};
use crate::{NameError, NameLease, NameRenewal};

const RENEWING: &str = "renewing the name";
const RETAKING: &str = "reserving the name again";

/// Renews `name` until `stop`. `held` is false from the moment the lease may have run out until it is ours
/// again; `ready` counts consumers that hold their names.
pub(super) async fn keep_name(
    context: Arc<Context>,
    name: NameLease,
    held: watch::Sender<bool>,
    ready: watch::Sender<ConsumersReady>,
    stop: CancellationToken,
) {
    let Context { consumer, metrics, settings, .. } = &*context;
    let mut confirmed = Instant::now();
    let mut pause = settings.lease_renew_interval;
    let (mut failures, mut uncounted, mut retaking, mut taken) =
        (Failures::default(), Failures::default(), Failures::default(), Failures::default());
    set_held(&context, &held, &ready, true, true);
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
            renewed = name.renew(metrics.counts.so_far()) => renewed,
        };
        match renewed {
            Ok(NameRenewal::Lost) => {
                lose(&context, &held, &ready);
                let retaken = tokio::select! {
                    () = stop.cancelled() => break,
                    retaken = name.retake() => retaken,
                };
                match retaken {
                    Ok(()) => {
                        context.works(&mut retaking, RETAKING);
                        taken = Failures::default();
                        // Renewed at once, and then held.
                        pause = Duration::ZERO;
                    }
                    Err(NameError::Redis(error)) => context.failed(&mut retaking, RETAKING, &error),
                    Err(error) => {
                        if let Some(attempts) = taken.failed(asked) {
                            tracing::error!(attempts, %error, "the name was taken over; not reading");
                        }
                    }
                }
            }
            Ok(renewal) => {
                confirmed = asked;
                context.works(&mut failures, RENEWING);
                note_counted(&context, &mut uncounted, renewal);
                if !is_held {
                    tracing::info!(%consumer, "the name is ours again");
                }
                set_held(&context, &held, &ready, true, false);
            }
            // Reading goes on until the lease must have run out.
            Err(error) => context.failed(&mut failures, RENEWING, &error),
        }
    }
    set_held(&context, &held, &ready, false, false);
}

/// Counts that cannot be written cost nobody anything but the sight of them.
fn note_counted(context: &Context, uncounted: &mut Failures, renewal: NameRenewal) {
    if renewal == NameRenewal::Held {
        context.works(uncounted, "telling the counts");
    } else if let Some(attempts) = uncounted.failed(Instant::now()) {
        let key = context.stream.key();
        tracing::warn!(
            group = %context.group, consumer = %context.consumer, attempts, registry = key.workers(), totals = key.worker_totals(),
            "the counts cannot be told: one of these keys holds something that is not ours"
        );
    }
}

fn lose(context: &Context, held: &watch::Sender<bool>, ready: &watch::Sender<ConsumersReady>) {
    if *held.borrow() {
        context.metrics.names_lost.inc();
        tracing::warn!(group = %context.group, consumer = %context.consumer, "the name's lease was lost; reading stops until it is ours again");
    }
    set_held(context, held, ready, false, false);
}

/// Keeps `ready` and the consumer's state in step with `held`; `first` counts the consumer in.
fn set_held(
    context: &Context,
    held: &watch::Sender<bool>,
    ready: &watch::Sender<ConsumersReady>,
    now: bool,
    first: bool,
) {
    let before = held.send_replace(now) && !first;
    if before == now {
        return;
    }
    ready.send_modify(|count| {
        count.ready = if now { count.ready + 1 } else { count.ready.saturating_sub(1) };
    });
    context.levers.state.send_if_modified(|state| {
        let next = if now { ConsumerState::Running } else { ConsumerState::NameLost };
        *state != ConsumerState::Leaving && std::mem::replace(state, next) != next
    });
}
