//! What notifications-worker counts.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// From a receiver beside this process to one that is waited for until its timeout.
const SEND_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What became of a message; the `outcome` label of `notifications_sent_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendOutcome {
    /// The other side has accepted.
    Sent,
    /// It was not tried: an earlier delivery of the entry had been accepted.
    Duplicate,
    /// It failed, and is tried again.
    Failed,
    /// It is refused for good.
    Refused,
    /// The channel is down or busy; it waits.
    Postponed,
    /// Nobody is to be told of this event through this channel.
    NoRecipient,
}

impl SendOutcome {
    const ALL: [Self; 6] =
        [Self::Sent, Self::Duplicate, Self::Failed, Self::Refused, Self::Postponed, Self::NoRecipient];

    const fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Duplicate => "duplicate",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Postponed => "postponed",
            Self::NoRecipient => "no_recipient",
        }
    }
}

/// Messages by channel and outcome, and events that ask for no message.
#[derive(Debug, Clone)]
pub(crate) struct NotificationMetrics {
    sent: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGaugeVec,
    breaker: IntGaugeVec,
    /// Events of a type without a text, which are acked and not notified.
    pub(crate) not_notified: IntCounter,
    /// Marks of what was sent that could not be written.
    pub(crate) marks_failed: IntCounter,
}

/// The series of one channel.
#[derive(Debug, Clone)]
pub(crate) struct ChannelMetrics {
    outcomes: [IntCounter; SendOutcome::ALL.len()],
    pub(crate) seconds: Histogram,
    pub(crate) in_flight: IntGauge,
    pub(crate) breaker: IntGauge,
}

impl NotificationMetrics {
    /// Registers the metrics; every series of the configured channels exists at 0.
    pub(crate) fn register<'a>(
        registry: &Registry,
        channels: impl Iterator<Item = &'a str>,
    ) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            sent: IntCounterVec::new(
                Opts::new("notifications_sent_total", "Messages by channel and what became of them"),
                &["channel", "outcome"],
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new(
                    "notifications_send_duration_seconds",
                    "Time that one attempt to send took",
                )
                .buckets(SEND_BUCKETS.to_vec()),
                &["channel"],
            )?,
            in_flight: IntGaugeVec::new(
                Opts::new("notifications_in_flight", "Messages that are being sent"),
                &["channel"],
            )?,
            breaker: IntGaugeVec::new(
                Opts::new(
                    "notifications_breaker_state",
                    "Whether a channel counts as down: 0 no, 1 one message tries it, 2 yes, and its messages wait",
                ),
                &["channel"],
            )?,
            not_notified: IntCounter::new(
                "notifications_other_total",
                "Events of a type that has no text: acked, not notified",
            )?,
            marks_failed: IntCounter::new(
                "notifications_marks_failed_total",
                "Messages that were sent and whose mark could not be written: they may be sent once more",
            )?,
        };
        registry.register(Box::new(metrics.sent.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.breaker.clone()))?;
        registry.register(Box::new(metrics.not_notified.clone()))?;
        registry.register(Box::new(metrics.marks_failed.clone()))?;
        for channel in channels {
            metrics.channel(channel);
        }
        Ok(metrics)
    }

    /// The series of one channel, which exist from here on.
    pub(crate) fn channel(&self, channel: &str) -> ChannelMetrics {
        ChannelMetrics {
            outcomes: SendOutcome::ALL
                .map(|outcome| self.sent.with_label_values(&[channel, outcome.label()])),
            seconds: self.seconds.with_label_values(&[channel]),
            in_flight: self.in_flight.with_label_values(&[channel]),
            breaker: self.breaker.with_label_values(&[channel]),
        }
    }
}

impl ChannelMetrics {
    pub(crate) fn count(&self, outcome: SendOutcome) {
        self.outcomes[outcome as usize].inc();
    }
}
