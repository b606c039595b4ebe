//! [`Channel`]: a way to send a message to somebody.

mod log;

use futures_util::future::BoxFuture;
use service_kit::config;

/// What is sent about one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// The entry's ID: the same message again has the same one.
    pub(crate) id: String,
    /// The type of the event.
    pub(crate) event_type: String,
    /// The order that it is about.
    pub(crate) order_id: String,
    /// The text, rendered.
    pub(crate) text: String,
}

/// Why a message could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(dead_code, reason = "the log channel cannot fail; channels that reach out over the network do")]
pub(crate) enum SendError {
    /// It never will be: the recipient or the message is refused.
    #[error("refused: {0}")]
    Permanent(String),
    /// It may be, later.
    #[error("failed: {0}")]
    Transient(String),
}

/// Sends messages. Channels are chosen by configuration, so they are used as trait objects.
pub(crate) trait Channel: Send + Sync {
    /// The word that stands for it in the configuration and in metric labels.
    fn name(&self) -> &'static str;

    /// Sends one message; returns once the other side has accepted it.
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<(), SendError>>;
}

/// The configured channels.
pub(crate) fn build(channels: &[config::Channel]) -> Vec<Box<dyn Channel>> {
    channels
        .iter()
        .map(|channel| match channel {
            config::Channel::Log => Box::new(log::LogChannel) as Box<dyn Channel>,
        })
        .collect()
}
