//! One active reaper: a lease decides which, and every write compares it in the same script.

use std::time::Duration;

use prometheus::IntGauge;
use service_kit::{Context, Redis};
use stream_core::{Holder, Lease, Take};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::rounds::Rounds;

/// Takes part in the election, and runs rounds while elected.
pub(crate) struct Leadership {
    lease: Lease,
    interval: Duration,
    /// 1 while this reaper is the active one.
    leader: IntGauge,
}

impl Leadership {
    pub(crate) fn new(redis: &Redis, context: &Context) -> anyhow::Result<Self> {
        let settings = &context.settings.reaper;
        let runtime = service_kit::worker::settings(&context.settings, settings.ops_listen);
        let holder = Holder::current(&runtime.host, &runtime.advertise);
        let connection = redis.stream.connection().clone();
        let key = redis.stream.key().reaper_lease();
        let leader = IntGauge::new("reaper_leader", "1 if this reaper is the active one, 0 if it stands by")?;
        context.registry.register(Box::new(leader.clone()))?;
        let lease = Lease::new(connection, key, holder.to_lease_value(), settings.lease_ttl);
        Ok(Self { lease, interval: settings.interval, leader })
    }

    /// Stands by or works, an interval at a time, until `shutdown`; then gives the role up at once.
    pub(crate) async fn serve(&self, mut rounds: Rounds, shutdown: &CancellationToken) {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut confirmed: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = ticks.tick() => {}
            }
            let asked = Instant::now();
            let was_active = confirmed.is_some();
            match self.hold(was_active).await {
                Ok(true) => confirmed = Some(asked),
                Ok(false) => confirmed = None,
                Err(error) => {
                    if confirmed.is_some() {
                        tracing::warn!(%error, "could not renew the active role");
                    }
                    // Without an answer the role lasts no longer than its lease.
                    confirmed = confirmed.filter(|at| at.elapsed() < self.lease.ttl());
                }
            }
            self.leader.set(i64::from(confirmed.is_some()));
            match (was_active, confirmed.is_some()) {
                (false, true) => tracing::info!("this reaper is the active one now"),
                (true, false) => {
                    tracing::warn!("this reaper stands by now");
                    rounds.stand_down();
                }
                _ => {}
            }
            if confirmed.is_some() {
                tokio::select! {
                    biased;
                    // A round is a series of scripts, each complete in itself: it can stop between two.
                    () = shutdown.cancelled() => break,
                    () = rounds.run(self.lease.value()) => {}
                }
            }
        }
        if confirmed.is_some()
            && let Err(error) = self.lease.release().await
        {
            tracing::warn!(%error, "could not give the active role up; its lease runs out");
        }
        self.leader.set(0);
        rounds.stand_down();
    }

    /// Renews the role or takes it, where it is free or its holder is known to be gone.
    async fn hold(&self, active: bool) -> Result<bool, stream_core::Error> {
        if active && self.lease.renew().await? {
            return Ok(true);
        }
        match self.lease.take(None).await? {
            Take::Taken => Ok(true),
            Take::Held { value, .. } if Holder::value_is_of_gone_process(&value) => {
                Ok(self.lease.take(Some(&value)).await? == Take::Taken)
            }
            Take::Held { .. } => Ok(false),
        }
    }
}
