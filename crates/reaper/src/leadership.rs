//! One active reaper: a lease decides which, bounds what it does, and every write compares it in the same script.

use std::{pin::pin, time::Duration};

use prometheus::IntGauge;
use service_kit::{Condition, Context, Readiness, Redis};
use stream_core::{Holder, Lease, Take};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    failures::{Failures, Step},
    rounds::Rounds,
};

/// While the role can be neither taken nor renewed, a standby is no use: it would not take over.
const CONDITION: Condition = Condition::Other("lease");

/// Takes part in the election, and runs rounds while elected.
pub(crate) struct Leadership {
    lease: Lease,
    interval: Duration,
    /// When the lease was last asked for and granted; `None` while standing by.
    confirmed: Option<Instant>,
    failures: Failures,
    readiness: Readiness,
    /// 1 while this reaper is the active one.
    leader: IntGauge,
}

impl Leadership {
    pub(crate) fn new(redis: &Redis, context: &Context, failures: Failures) -> anyhow::Result<Self> {
        let settings = &context.settings.reaper;
        let runtime = service_kit::worker::settings(&context.settings, settings.ops_listen);
        let holder = Holder::current(&runtime.host, &runtime.advertise);
        let connection = redis.stream.connection().clone();
        let key = redis.stream.key().reaper_lease();
        let leader = IntGauge::new("reaper_leader", "1 if this reaper is the active one, 0 if it stands by")?;
        context.registry.register(Box::new(leader.clone()))?;
        let lease = Lease::new(connection, key, holder.to_lease_value(), settings.lease_ttl);
        let readiness = context.readiness.clone();
        Ok(Self { lease, interval: settings.interval, confirmed: None, failures, readiness, leader })
    }

    /// Stands by or works, an interval at a time, until `shutdown`; then gives the role up at once.
    pub(crate) async fn serve(mut self, mut rounds: Rounds, shutdown: &CancellationToken) {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = ticks.tick() => {}
            }
            self.campaign().await;
            if self.confirmed.is_some() {
                self.work(&mut rounds, &mut ticks, shutdown).await;
            }
            if self.confirmed.is_none() {
                rounds.stand_down();
            }
        }
        if self.confirmed.is_some()
            && let Err(error) = self.lease.release().await
        {
            tracing::warn!(%error, "could not give the active role up; its lease runs out");
        }
        self.leader.set(0);
        rounds.stand_down();
    }

    /// One round, never longer than the role. A round is a series of scripts, each complete in itself and
    /// fenced: it can be dropped between two. One that takes long keeps the role by renewing it meanwhile.
    async fn work(&mut self, rounds: &mut Rounds, ticks: &mut Interval, shutdown: &CancellationToken) {
        let value = self.lease.value().to_owned();
        let mut round = pin!(rounds.run(&value));
        while let Some(end) = self.end() {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = sleep_until(end) => self.settle(None),
                () = &mut round => return,
                _ = ticks.tick() => self.campaign().await,
            }
        }
    }

    /// When the role ends at the latest if it is not renewed.
    fn end(&self) -> Option<Instant> {
        self.confirmed.map(|at| at + self.lease.ttl())
    }

    /// Tries to have the role, and shows what came of it.
    async fn campaign(&mut self) {
        let asked = Instant::now();
        let held = match self.end() {
            Some(end) => timeout_at(end, self.hold(true)).await,
            None => Ok(self.hold(false).await),
        };
        let failure = match held {
            Ok(Ok(ours)) => {
                self.settle(ours.then_some(asked));
                None
            }
            // Without an answer the role lasts no longer than its lease.
            Ok(Err(error)) => {
                self.settle(self.confirmed.filter(|at| at.elapsed() < self.lease.ttl()));
                Some(error.to_string())
            }
            Err(_) => {
                self.settle(None);
                Some("no answer before the lease ran out".to_owned())
            }
        };
        if let Some(reason) = &failure {
            self.failures.failed(Step::HoldRole, None, reason);
        }
        self.failures.finished(Step::HoldRole);
        self.readiness.set(CONDITION, failure.map_or(Ok(()), Err));
    }

    fn settle(&mut self, confirmed: Option<Instant>) {
        let was_active = self.confirmed.is_some();
        self.confirmed = confirmed;
        self.leader.set(i64::from(confirmed.is_some()));
        match (was_active, confirmed.is_some()) {
            (false, true) => tracing::info!("this reaper is the active one now"),
            (true, false) => tracing::warn!("this reaper stands by now"),
            _ => {}
        }
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
