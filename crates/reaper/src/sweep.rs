//! Sweeping a group: exhausted entries and entries that were trimmed while pending become dead letters.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use prometheus::{IntCounterVec, Opts};
use service_kit::{Context, Redis};
use stream_core::{DeadReason, Error, ErrorKind, EventStream, StreamId};

use crate::tally::Tally;

/// Rows looked at in one script: short enough not to hold the server up.
const PAGE: usize = 500;
/// Pages of one sweep; the next one goes on behind them.
const PAGES_MAX: usize = 200;

pub(crate) struct Sweeper {
    stream: EventStream,
    min_idle: Duration,
    max_deliveries: u64,
    /// Where the next sweep of a stream for a group goes on, if the last one did not reach the end of its list. By group,
    /// and whether it is the group's redrive stream.
    cursors: HashMap<(String, bool), StreamId>,
    dead_letters: IntCounterVec,
    /// Groups that are always shown: retention waits for them, whether they exist or not.
    configured: Vec<String>,
    /// The other groups that are shown.
    others: BTreeSet<String>,
}

/// What sweeps make dead letters for.
const REASONS: [DeadReason; 2] = [DeadReason::MaxDeliveries, DeadReason::PayloadLost];

impl Sweeper {
    pub(crate) fn new(redis: &Redis, context: &Context) -> anyhow::Result<Self> {
        let worker = &context.settings.worker;
        let dead_letters = IntCounterVec::new(
            Opts::new(
                "reaper_dead_letters_total",
                "Entries of the group that sweeps of this reaper made dead letters, by reason",
            ),
            &["group", "reason"],
        )?;
        let configured = context.settings.retention.groups.clone();
        for group in &configured {
            for reason in REASONS {
                dead_letters.with_label_values(&[group, reason.label()]);
            }
        }
        context.registry.register(Box::new(dead_letters.clone()))?;
        let (min_idle, max_deliveries) = (worker.claim_min_idle, worker.max_deliveries);
        let stream = redis.stream.clone();
        Ok(Self {
            stream,
            min_idle,
            max_deliveries,
            cursors: HashMap::new(),
            dead_letters,
            configured,
            others: BTreeSet::new(),
        })
    }

    /// Sweeps what is pending for a group, from where the last sweep stopped, also of what was sent back to it. A group
    /// that is gone is its workers' to recreate.
    pub(crate) async fn sweep(&mut self, group: &str, lease_value: &str) -> Result<(), Error> {
        for stream in [self.stream.clone(), self.stream.redrive(group)] {
            self.sweep_stream(&stream, group, lease_value).await?;
        }
        Ok(())
    }

    async fn sweep_stream(
        &mut self,
        stream: &EventStream,
        group: &str,
        lease_value: &str,
    ) -> Result<(), Error> {
        let key = (group.to_owned(), stream.key().is_redrive());
        let told = |reason: DeadReason| {
            Tally::new(move |count, first| {
                tracing::error!(group, count, %first, reason = reason.label(), "dead letters");
            })
        };
        let (mut dead, mut lost) = (told(DeadReason::MaxDeliveries), told(DeadReason::PayloadLost));
        for _ in 0..PAGES_MAX {
            let after = self.cursors.get(&key).copied();
            let page =
                stream.sweep(group, lease_value, self.min_idle, after, PAGE, self.max_deliveries).await;
            let swept = match page {
                Ok(Some(swept)) => swept,
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::NoGroup => {
                    self.cursors.remove(&key);
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            if !self.configured.iter().any(|known| known == group) {
                self.others.insert(group.to_owned());
            }
            for (reason, ids, tally) in [
                (DeadReason::MaxDeliveries, &swept.dead, &mut dead),
                (DeadReason::PayloadLost, &swept.lost, &mut lost),
            ] {
                tally.add(ids);
                self.dead_letters.with_label_values(&[group, reason.label()]).inc_by(ids.len() as u64);
            }
            // Noted page by page: a round can be dropped between two.
            let Some(next) = swept.next else {
                self.cursors.remove(&key);
                break;
            };
            self.cursors.insert(key.clone(), next);
        }
        Ok(())
    }

    /// Shows the configured groups and those that there are: one that was destroyed leaves no series behind.
    pub(crate) fn show(&mut self, exists: impl Fn(&str) -> bool) {
        let counter = &self.dead_letters;
        self.others.retain(|group| {
            let stays = exists(group);
            for reason in REASONS.iter().filter(|_| !stays) {
                // An error would only say that there is no such series.
                _ = counter.remove_label_values(&[group, reason.label()]);
            }
            stays
        });
    }

    /// The next active sweep begins at the start of each list.
    pub(crate) fn forget(&mut self) {
        self.cursors.clear();
    }
}
