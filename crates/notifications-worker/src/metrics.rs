//! What notifications-worker counts.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use service_kit::config::Channel;

const SENT: &str = "sent";
const FAILED: &str = "failed";
const REFUSED: &str = "refused";

/// Messages by channel and outcome, and events that ask for no message.
#[derive(Debug, Clone)]
pub(crate) struct NotificationMetrics {
    sent: IntCounterVec,
    /// Events of a type without a text, which are acked and not notified.
    pub(crate) not_notified: IntCounter,
}

impl NotificationMetrics {
    /// Registers the metrics; every series of the configured channels exists at 0.
    pub(crate) fn register(registry: &Registry, channels: &[Channel]) -> Result<Self, prometheus::Error> {
        let sent = IntCounterVec::new(
            Opts::new("notifications_sent_total", "Messages by channel and what became of them"),
            &["channel", "outcome"],
        )?;
        for channel in channels {
            for outcome in [SENT, FAILED, REFUSED] {
                sent.with_label_values(&[channel.as_str(), outcome]);
            }
        }
        let not_notified = IntCounter::new(
            "notifications_other_total",
            "Events of a type that has no text: acked, not notified",
        )?;
        registry.register(Box::new(sent.clone()))?;
        registry.register(Box::new(not_notified.clone()))?;
        Ok(Self { sent, not_notified })
    }

    pub(crate) fn sent(&self, channel: &str) {
        self.sent.with_label_values(&[channel, SENT]).inc();
    }

    pub(crate) fn failed(&self, channel: &str) {
        self.sent.with_label_values(&[channel, FAILED]).inc();
    }

    pub(crate) fn refused(&self, channel: &str) {
        self.sent.with_label_values(&[channel, REFUSED]).inc();
    }
}
