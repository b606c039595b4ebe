//! Retiring dead consumers: their entries go to live peers, then they are deleted.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use prometheus::IntCounter;
use service_kit::{Context, Redis};
use stream_core::{ConsumerInfo, Error, ErrorKind, EventStream, Retired};
use tokio::time::Instant;

use crate::tally::Tally;

/// Rows moved in one script.
const PAGE: usize = 500;
/// Scripts for one consumer in one round; what is left comes with the next one.
const PAGES_MAX: usize = 200;

pub(crate) struct Retirement {
    stream: EventStream,
    /// A name without a lease for so long is nobody's.
    dead_after: Duration,
    /// A consumer that never had a lease is dead after so long without a sign of life.
    idle_dead_after: Duration,
    /// Whether entries may be moved: not where an operator claims by hand.
    moves: bool,
    /// Since when each consumer, by group and name, has been seen without a lease.
    unleased: HashMap<(String, String), Instant>,
    deleted: IntCounter,
    moved: IntCounter,
}

impl Retirement {
    pub(crate) fn new(redis: &Redis, context: &Context) -> anyhow::Result<Self> {
        let worker = &context.settings.worker;
        let deleted = IntCounter::new("reaper_consumers_deleted_total", "Dead consumers that were deleted")?;
        let moved =
            IntCounter::new("reaper_entries_moved_total", "Entries moved from dead consumers to peers")?;
        context.registry.register(Box::new(deleted.clone()))?;
        context.registry.register(Box::new(moved.clone()))?;
        Ok(Self {
            stream: redis.stream.clone(),
            dead_after: worker.lease_ttl * 2,
            idle_dead_after: context.settings.reaper.consumer_idle_dead_after,
            moves: worker.claim_auto,
            unleased: HashMap::new(),
            deleted,
            moved,
        })
    }

    /// Looks at every consumer of a group and retires the dead. `registered` have, or had, a lease.
    pub(crate) async fn retire(
        &mut self,
        group: &str,
        registered: &BTreeSet<String>,
        lease_value: &str,
    ) -> Result<(), Error> {
        let mut consumers = self.consumers(group).await?;
        let peers = consumers.len();
        // A name may be all that is left: of a consumer that died before it was listed, or whose group was destroyed.
        let listed: BTreeSet<String> = consumers.iter().map(|consumer| consumer.name.clone()).collect();
        consumers.extend(registered.difference(&listed).cloned().map(|name| ConsumerInfo {
            name,
            pending: 0,
            idle: Duration::ZERO,
            inactive: None,
        }));
        let names: Vec<&str> = consumers.iter().map(|consumer| consumer.name.as_str()).collect();
        // One that has left by itself is not waited for, and may come back under its name.
        self.unleased.retain(|(of, name), _| of != group || names.contains(&name.as_str()));
        let alive = self.stream.consumers_alive(group, &names).await?;
        let (mut live, mut dead) = (Vec::new(), Vec::new());
        for (index, (consumer, alive)) in consumers.iter().zip(alive).enumerate() {
            if alive && index < peers {
                live.push(consumer.name.as_str());
            }
            if !consumer.is_addressable() {
                // No command of ours can name it, and what it is shown as may be the name of nobody.
                continue;
            }
            if self.is_dead(group, consumer, alive, registered.contains(&consumer.name)) {
                dead.push(consumer.name.as_str());
            }
        }
        for (index, name) in dead.into_iter().enumerate() {
            // Peers take turns, so that one of them does not inherit everything.
            let peer = (self.moves && !live.is_empty()).then(|| live[index % live.len()]);
            // The stream itself comes last: with it the consumer is forgotten.
            if self.retire_one(&self.stream.redrive(group), group, name, peer, lease_value).await?
                && self.retire_one(&self.stream, group, name, peer, lease_value).await?
            {
                self.unleased.remove(&(group.to_owned(), name.to_owned()));
            }
        }
        Ok(())
    }

    /// The group's consumers, of the stream and of what was sent back to the group. One that is known to both is idle
    /// only as long as it has been in both.
    async fn consumers(&self, group: &str) -> Result<Vec<ConsumerInfo>, Error> {
        let mut all: Vec<ConsumerInfo> = Vec::new();
        for stream in [self.stream.clone(), self.stream.redrive(group)] {
            let consumers = match stream.consumers(group).await {
                Ok(consumers) => consumers,
                Err(error) if error.kind() == ErrorKind::NoGroup => continue,
                Err(error) => return Err(error),
            };
            for consumer in consumers {
                match all.iter_mut().find(|known| known.name == consumer.name) {
                    Some(known) => known.idle = known.idle.min(consumer.idle),
                    None => all.push(consumer),
                }
            }
        }
        Ok(all)
    }

    fn is_dead(&mut self, group: &str, consumer: &ConsumerInfo, alive: bool, registered: bool) -> bool {
        let key = (group.to_owned(), consumer.name.clone());
        if alive {
            self.unleased.remove(&key);
            return false;
        }
        if !registered {
            return consumer.idle >= self.idle_dead_after;
        }
        // The time is this process's own: a reaper that has just taken over waits anew.
        self.unleased.entry(key).or_insert_with(Instant::now).elapsed() >= self.dead_after
    }

    /// Whether nothing of the consumer is left in this stream.
    async fn retire_one(
        &self,
        stream: &EventStream,
        group: &str,
        name: &str,
        peer: Option<&str>,
        lease_value: &str,
    ) -> Result<bool, Error> {
        let mut total = 0;
        let mut all_lost = Tally::new(|count, first| {
            let consumer = name;
            tracing::error!(group, consumer, count, %first, "entries were removed while pending; dead letters");
        });
        for _ in 0..PAGES_MAX {
            let (moved, deleted, lost) =
                match stream.retire_consumer(group, lease_value, name, peer, PAGE).await {
                    Ok(Retired::Page { moved, deleted, lost }) => (moved, deleted, lost),
                    // A peer that has left: the next round chooses another.
                    Ok(Retired::Alive | Retired::Fenced | Retired::PeerGone) => return Ok(false),
                    // Nothing has been sent back to the group, or its workers will recreate it.
                    Err(error) if error.kind() == ErrorKind::NoGroup => return Ok(stream.key().is_redrive()),
                    Err(error) => return Err(error),
                };
            total += moved;
            self.moved.inc_by(moved);
            all_lost.add(&lost);
            if deleted {
                if !stream.key().is_redrive() {
                    self.deleted.inc();
                    tracing::info!(group, consumer = name, moved = total, peer, "dead consumer deleted");
                }
                return Ok(true);
            }
            if moved == 0 && lost.is_empty() {
                // Entries are left and there is no peer: they wait for one.
                return Ok(false);
            }
        }
        Ok(false)
    }

    pub(crate) fn forget(&mut self) {
        self.unleased.clear();
    }
}
