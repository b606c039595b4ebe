//! [`Lane`]: the way to one receiver, so bounded that a slow or dead one holds up nobody else.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use service_kit::Settings;
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    breaker::{Breaker, Fault},
    channel::{Channel, SendError, Target},
    message::Message,
    metrics::{ChannelMetrics, NotificationMetrics, SendOutcome},
};

/// How long a message waits whose lane is full, before it is spread out.
const BUSY_WAIT: Duration = Duration::from_millis(250);

/// A channel with its bounds, its breaker and its metrics.
pub(crate) struct Lane {
    pub(crate) channel: Box<dyn Channel>,
    pub(crate) metrics: ChannelMetrics,
    breaker: Breaker,
    slots: Semaphore,
    /// Messages that wait for a slot, each in a handler's slot of its own.
    queued: AtomicUsize,
    queued_max: usize,
}

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The other side has accepted.
    Accepted,
    /// It refuses this message for good.
    Refused(String),
    /// It failed; the attempt counts.
    Failed {
        /// Why.
        reason: String,
        /// Not sooner than this, if there is something to be kept to.
        after: Option<Duration>,
        /// Whether the channel is known to work for others: only then an entry may be given up for it.
        works: bool,
    },
    /// The channel is down or busy: that says nothing about the message.
    Postponed {
        /// Why.
        reason: String,
        /// Not sooner than this.
        after: Duration,
    },
}

/// A lane for each channel.
pub(crate) fn build(
    channels: Vec<Box<dyn Channel>>,
    settings: &Settings,
    metrics: &NotificationMetrics,
) -> Vec<Lane> {
    let notifications = &settings.notifications;
    let lane = |channel: Box<dyn Channel>| {
        let metrics = metrics.channel(channel.name());
        let breaker = Breaker::new(
            notifications.breaker_failures,
            notifications.breaker_open,
            notifications.breaker_open_max,
            metrics.breaker.clone(),
        );
        Lane::new(channel, metrics, breaker)
    };
    channels.into_iter().map(lane).collect()
}

impl Lane {
    pub(crate) fn new(channel: Box<dyn Channel>, metrics: ChannelMetrics, breaker: Breaker) -> Self {
        let concurrency = channel.concurrency().clamp(1, Semaphore::MAX_PERMITS);
        Self {
            channel,
            metrics,
            breaker,
            slots: Semaphore::new(concurrency),
            queued: AtomicUsize::new(0),
            queued_max: concurrency,
        }
    }

    /// Tries to send a message, unless the channel is down, or as many messages as may be are sent and queue already.
    pub(crate) async fn attempt(&self, message: &Message<'_>, target: &Target) -> Attempt {
        let attempt = self.try_to_send(message, target).await;
        self.metrics.count(match &attempt {
            Attempt::Accepted => SendOutcome::Sent,
            Attempt::Refused(_) => SendOutcome::Refused,
            Attempt::Failed { .. } => SendOutcome::Failed,
            Attempt::Postponed { .. } => SendOutcome::Postponed,
        });
        attempt
    }

    async fn try_to_send(&self, message: &Message<'_>, target: &Target) -> Attempt {
        // Before the queue, so that what waits for a dead channel takes up no handler's slot.
        if let Some(after) = self.breaker.closed_for() {
            return self.is_down(after);
        }
        let Some(_slot) = self.slot().await else {
            let after = BUSY_WAIT.mul_f64(1.0 + 2.0 * fastrand::f64());
            return Attempt::Postponed { reason: format!("{} is busy", self.channel.name()), after };
        };
        let pass = match self.breaker.enter() {
            Ok(pass) => pass,
            Err(after) => return self.is_down(after),
        };
        let _in_flight = InFlight::new(&self.metrics);
        let started = Instant::now();
        let result = self.channel.send(message, target).await;
        self.metrics.seconds.observe(started.elapsed().as_secs_f64());
        let named = |reason: String| format!("{}: {reason}", self.channel.name());
        match result {
            Ok(()) => {
                if pass.works() {
                    tracing::info!(channel = self.channel.name(), "the channel works again");
                }
                Attempt::Accepted
            }
            Err(SendError::Permanent(reason)) => {
                // It answers.
                pass.works();
                Attempt::Refused(named(reason))
            }
            Err(SendError::Temporary { reason, after }) => {
                pass.works();
                Attempt::Failed { reason: named(reason), after, works: true }
            }
            Err(SendError::Down { reason, after: asked }) => match pass.failed(asked) {
                // What the receiver asked for is kept to, however long the breaker is open.
                Fault::Channel(after) => {
                    Attempt::Postponed { reason: named(reason), after: after.max(asked.unwrap_or_default()) }
                }
                fault => {
                    Attempt::Failed { reason: named(reason), after: asked, works: fault == Fault::Message }
                }
            },
        }
    }

    fn is_down(&self, after: Duration) -> Attempt {
        Attempt::Postponed { reason: format!("{} is down", self.channel.name()), after }
    }

    /// A slot, waited for if not too many wait already; `None` if they do.
    async fn slot(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        if let Ok(slot) = self.slots.try_acquire() {
            return Some(slot);
        }
        let _queued = Queued::new(&self.queued, self.queued_max)?;
        self.slots.acquire().await.ok()
    }
}

/// A place in the queue, left when it is dropped.
struct Queued<'a>(&'a AtomicUsize);

impl<'a> Queued<'a> {
    fn new(queued: &'a AtomicUsize, max: usize) -> Option<Self> {
        let place = |now| (now < max).then_some(now + 1);
        queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, place).ok().map(|_| Self(queued))
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a message that is being sent, also one whose sending is given up half-way.
struct InFlight<'a>(&'a ChannelMetrics);

impl<'a> InFlight<'a> {
    fn new(metrics: &'a ChannelMetrics) -> Self {
        metrics.in_flight.inc();
        Self(metrics)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}
