//! Sweeping a group: exhausted entries and entries that were trimmed while pending become dead letters.

use std::time::Duration;

use prometheus::{IntCounterVec, Opts};
use service_kit::{Context, Redis};
use stream_core::{DeadReason, Error, ErrorKind, EventStream};

/// Rows looked at in one script: short enough not to hold the server up.
const PAGE: usize = 500;
/// Pages of one sweep; what is beyond comes with the next one.
const PAGES_MAX: usize = 200;

pub(crate) struct Sweeper {
    stream: EventStream,
    min_idle: Duration,
    max_deliveries: u64,
    dead_letters: IntCounterVec,
}

impl Sweeper {
    pub(crate) fn new(redis: &Redis, context: &Context) -> anyhow::Result<Self> {
        let worker = &context.settings.worker;
        let dead_letters = IntCounterVec::new(
            Opts::new("reaper_dead_letters_total", "Entries that sweeps made dead letters, by reason"),
            &["reason"],
        )?;
        for reason in [DeadReason::MaxDeliveries, DeadReason::PayloadLost] {
            dead_letters.with_label_values(&[reason.label()]);
        }
        context.registry.register(Box::new(dead_letters.clone()))?;
        let (min_idle, max_deliveries) = (worker.claim_min_idle, worker.max_deliveries);
        Ok(Self { stream: redis.stream.clone(), min_idle, max_deliveries, dead_letters })
    }

    /// Sweeps the whole pending list of a group. A group that is gone is its workers' to recreate.
    pub(crate) async fn sweep(&self, group: &str, lease_value: &str) -> Result<(), Error> {
        let mut after = None;
        for _ in 0..PAGES_MAX {
            let page =
                self.stream.sweep(group, lease_value, self.min_idle, after, PAGE, self.max_deliveries).await;
            let swept = match page {
                Ok(Some(swept)) => swept,
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::NoGroup => return Ok(()),
                Err(error) => return Err(error),
            };
            for (reason, ids) in
                [(DeadReason::MaxDeliveries, &swept.dead), (DeadReason::PayloadLost, &swept.lost)]
            {
                if !ids.is_empty() {
                    let (count, first) = (ids.len(), ids.first());
                    tracing::error!(group, count, ?first, reason = reason.label(), "dead letters");
                    self.dead_letters.with_label_values(&[reason.label()]).inc_by(ids.len() as u64);
                }
            }
            after = swept.next;
            if after.is_none() {
                break;
            }
        }
        Ok(())
    }
}
