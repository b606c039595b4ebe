//! [`Channel`]: a way to send a message to somebody.

mod log;
mod smtp;
mod webhook;

use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use service_kit::{Settings, config};

use crate::message::Message;

/// One receiver of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// What its mark is called, among those of the entry.
    pub(crate) mark: String,
    /// Whether what it was sent is remembered in Redis.
    pub(crate) is_marked: bool,
    /// Its address, where the channel has many.
    pub(crate) address: String,
}

/// Why a message could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    /// It never will be: the recipient or the message is refused.
    #[error("refused: {0}")]
    Permanent(String),
    /// It may be, later; the channel itself works.
    #[error("failed: {reason}")]
    Temporary {
        /// Why.
        reason: String,
        /// Not sooner than this.
        after: Option<Duration>,
    },
    /// The channel does not work at present, for nobody.
    #[error("failed: {reason}")]
    Down {
        /// Why.
        reason: String,
        /// How long it asks to be left alone.
        after: Option<Duration>,
    },
}

/// Sends messages. Channels are chosen by configuration, so they are used as trait objects.
pub(crate) trait Channel: Send + Sync {
    /// What it is called in metric labels and in the log.
    fn name(&self) -> &str;

    /// How many messages may be sent at the same time.
    fn concurrency(&self) -> usize;

    /// Whether it has to do with events of this type.
    fn wants(&self, message: &Message<'_>) -> bool;

    /// Who is to get the message. A permanent error if a recipient that the event names is none; then the message
    /// still goes to the [`fixed_targets`](Self::fixed_targets).
    fn targets(&self, message: &Message<'_>) -> Result<Vec<Target>, SendError>;

    /// Who gets every message.
    fn fixed_targets(&self) -> Vec<Target>;

    /// Sends one message; returns once the other side has accepted it. Bounded in time.
    fn send<'a>(
        &'a self,
        message: &'a Message<'_>,
        target: &'a Target,
    ) -> BoxFuture<'a, Result<(), SendError>>;
}

/// The configured channels, each endpoint of webhooks as one of its own.
pub(crate) fn build(settings: &Settings) -> anyhow::Result<Vec<Box<dyn Channel>>> {
    let authorities = authorities(&settings.notifications.ca_file)?;
    let mut channels: Vec<Box<dyn Channel>> = Vec::new();
    for channel in &settings.notifications.channels {
        match channel {
            config::Channel::Log => channels.push(Box::new(log::LogChannel)),
            config::Channel::Smtp => {
                channels.push(Box::new(smtp::SmtpChannel::new(&settings.smtp, authorities.as_deref())?));
            }
            config::Channel::Webhook => {
                for endpoint in &settings.webhook.endpoints {
                    let channel = webhook::WebhookChannel::new(
                        endpoint,
                        settings.webhook.concurrency,
                        authorities.as_deref(),
                    )
                    .with_context(|| format!("webhook.endpoints: {:?}", endpoint.name))?;
                    channels.push(Box::new(channel));
                }
            }
        }
    }
    Ok(channels)
}

/// The certificates of further authorities, as PEM.
fn authorities(file: &str) -> anyhow::Result<Option<Vec<u8>>> {
    if file.is_empty() {
        return Ok(None);
    }
    let pem = std::fs::read(file).with_context(|| format!("notifications.ca_file: {file} cannot be read"))?;
    Ok(Some(pem))
}
