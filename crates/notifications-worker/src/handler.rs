//! [`NotificationHandler`]: from a delivery to a message on every configured channel.

use order_events::EventView;
use stream_core::{Delivery, Handler, Outcome};

use crate::{dispatch::Dispatcher, message::Message, metrics::NotificationMetrics, template::Templates};

/// Renders a message for each event and has it sent to every channel.
pub(crate) struct NotificationHandler {
    templates: Templates,
    dispatcher: Dispatcher,
    stream: String,
    wants_mail: bool,
    metrics: NotificationMetrics,
}

impl NotificationHandler {
    pub(crate) fn new(
        templates: Templates,
        dispatcher: Dispatcher,
        stream: &str,
        wants_mail: bool,
        metrics: NotificationMetrics,
    ) -> Self {
        Self { templates, dispatcher, stream: stream.to_owned(), wants_mail, metrics }
    }
}

impl Handler for NotificationHandler {
    async fn handle(&self, delivery: &Delivery) -> Outcome {
        let event = match EventView::from_fields(delivery.id.ms, delivery.fields.iter()) {
            Ok(event) => event,
            Err(error) => return Outcome::Poison { reason: error.to_string() },
        };
        let rendered = match self.templates.render(delivery.id, &event, &delivery.fields, self.wants_mail) {
            None => {
                // A type of a newer producer: not poison, and nothing to say about it.
                self.metrics.not_notified.inc();
                return Outcome::Ack;
            }
            Some(Ok(rendered)) => rendered,
            // The same event and the same template would fail again; repaired, the entry can be sent back.
            Some(Err(error)) => return Outcome::DeadLetter { reason: error.to_string() },
        };
        let message = Message {
            id: delivery.id,
            stream: &self.stream,
            attempt: delivery.deliveries,
            event: &event,
            fields: &delivery.fields,
            rendered,
        };
        self.dispatcher.dispatch(&message).await
    }
}
