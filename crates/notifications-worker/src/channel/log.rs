//! The `log` channel: writes each message to the service's log.

use std::future::ready;

use futures_util::future::BoxFuture;

use super::{Channel, Message, SendError};

/// Logs messages. Cannot fail, and repeating a message does no harm.
#[derive(Debug)]
pub(super) struct LogChannel;

impl Channel for LogChannel {
    fn name(&self) -> &'static str {
        "log"
    }

    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<(), SendError>> {
        let Message { id, event_type, order_id, text } = message;
        tracing::info!(id, event_type, order_id, text, "notification");
        Box::pin(ready(Ok(())))
    }
}
