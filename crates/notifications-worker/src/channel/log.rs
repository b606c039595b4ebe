//! The `log` channel: writes each message to the service's log.

use std::future::ready;

use futures_util::future::BoxFuture;

use super::{Channel, Message, SendError, Target};

/// Logs messages. Cannot fail, and repeating a message does no harm, so that nothing is marked.
#[derive(Debug)]
pub(super) struct LogChannel;

impl Channel for LogChannel {
    fn name(&self) -> &'static str {
        "log"
    }

    fn concurrency(&self) -> usize {
        usize::MAX
    }

    fn wants(&self, _: &Message<'_>) -> bool {
        true
    }

    fn targets(&self, _: &Message<'_>) -> Result<Vec<Target>, SendError> {
        Ok(self.fixed_targets())
    }

    fn fixed_targets(&self) -> Vec<Target> {
        vec![Target { mark: "log".to_owned(), is_marked: false, address: String::new() }]
    }

    fn send<'a>(&'a self, message: &'a Message<'_>, _: &'a Target) -> BoxFuture<'a, Result<(), SendError>> {
        let Message { id, event, rendered, .. } = message;
        let (event_type, order_id, text) = (event.event_type.as_str(), event.order_id, &rendered.text);
        tracing::info!(%id, event_type, order_id, text, "notification");
        Box::pin(ready(Ok(())))
    }
}
