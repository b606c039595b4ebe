//! [`NotificationHandler`]: from a delivery to messages on every configured channel.

use order_events::EventView;
use stream_core::{Delivery, Handler, Outcome};

use crate::{
    channel::{Channel, Message, SendError},
    metrics::NotificationMetrics,
    template::Templates,
};

/// Renders a message for each event and sends it to every channel.
pub(crate) struct NotificationHandler {
    templates: Templates,
    channels: Vec<Box<dyn Channel>>,
    metrics: NotificationMetrics,
}

impl NotificationHandler {
    pub(crate) const fn new(
        templates: Templates,
        channels: Vec<Box<dyn Channel>>,
        metrics: NotificationMetrics,
    ) -> Self {
        Self { templates, channels, metrics }
    }
}

impl Handler for NotificationHandler {
    async fn handle(&self, delivery: &Delivery) -> Outcome {
        let event = match EventView::from_fields(delivery.id.ms, delivery.fields.iter()) {
            Ok(event) => event,
            Err(error) => return Outcome::Poison { reason: error.to_string() },
        };
        let Some(text) = self.templates.render(&event) else {
            // A type of a newer producer: not poison, and nothing to say about it.
            self.metrics.not_notified.inc();
            return Outcome::Ack;
        };
        let message = Message {
            id: delivery.id.to_string(),
            event_type: event.event_type.as_str().to_owned(),
            order_id: event.order_id.to_owned(),
            text,
        };
        for channel in &self.channels {
            match channel.send(&message).await {
                Ok(()) => self.metrics.sent(channel.name()),
                Err(error @ SendError::Permanent(_)) => {
                    self.metrics.refused(channel.name());
                    return Outcome::DeadLetter { reason: format!("{}: {error}", channel.name()) };
                }
                Err(error) => {
                    self.metrics.failed(channel.name());
                    return Outcome::Retry { reason: format!("{}: {error}", channel.name()), after: None };
                }
            }
        }
        Outcome::Ack
    }
}
