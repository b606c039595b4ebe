//! Sweeping a group: exhausted entries and entries that were trimmed while pending become dead letters.

use std::{collections::HashMap, time::Duration};

use prometheus::{IntCounterVec, Opts};
use service_kit::{Context, Redis};
use stream_core::{DeadReason, Error, ErrorKind, EventStream, StreamId};

/// Rows looked at in one script: short enough not to hold the server up.
const PAGE: usize = 500;
/// Pages of one sweep; the next one goes on behind them.
const PAGES_MAX: usize = 200;

pub(crate) struct Sweeper {
    stream: EventStream,
    min_idle: Duration,
    max_deliveries: u64,
    /// Where the next sweep of a group goes on, if the last one did not reach the end of its list.
    cursors: HashMap<String, StreamId>,
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
        let stream = redis.stream.clone();
        Ok(Self { stream, min_idle, max_deliveries, cursors: HashMap::new(), dead_letters })
    }

    /// Sweeps the pending list of a group, from where the last sweep stopped. A group that is gone is its
    /// workers' to recreate.
    pub(crate) async fn sweep(&mut self, group: &str, lease_value: &str) -> Result<(), Error> {
        for _ in 0..PAGES_MAX {
            let after = self.cursors.get(group).copied();
            let page =
                self.stream.sweep(group, lease_value, self.min_idle, after, PAGE, self.max_deliveries).await;
            let swept = match page {
                Ok(Some(swept)) => swept,
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::NoGroup => {
                    self.cursors.remove(group);
                    return Ok(());
                }
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
            // Noted page by page: a round can be dropped between two.
            let Some(next) = swept.next else {
                self.cursors.remove(group);
                break;
            };
            self.cursors.insert(group.to_owned(), next);
        }
        Ok(())
    }

    /// The next active sweep begins at the start of each list.
    pub(crate) fn forget(&mut self) {
        self.cursors.clear();
    }
}
