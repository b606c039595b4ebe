//! The `smtp` channel: an e-mail to each recipient.

mod mail;
mod pool;
mod recipient;

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures_util::future::BoxFuture;
use lettre::{Address, message::Mailbox, transport::smtp::Error as SmtpError};
use service_kit::config::Smtp;
use tokio::time::timeout;

use super::{Channel, Message, SendError, Target};
use crate::{message::digest, plain};

/// The longest text of an answer that is kept, in characters.
const ANSWER_MAX: usize = 300;
/// The wait after the first answer that says "not now" to one recipient (greylisting wants minutes); doubled each time.
const NOT_NOW: Duration = Duration::from_mins(1);
const NOT_NOW_MAX: Duration = Duration::from_hours(1);

/// Sends mails over pooled connections to one server.
pub(super) struct SmtpChannel {
    pool: pool::Pool,
    from: Mailbox,
    to: Vec<Address>,
    to_field: Option<String>,
    timeout: Duration,
    concurrency: usize,
}

impl SmtpChannel {
    /// Checks the addresses and prepares the connections; nothing is connected yet.
    pub(super) fn new(settings: &Smtp, authorities: Option<&[u8]>) -> anyhow::Result<Self> {
        let from: Mailbox =
            settings.from.parse().map_err(|error| anyhow!("smtp.from: {:?}: {error}", settings.from))?;
        let to = settings.to.iter().map(|address| {
            recipient::parse(address).map_err(|problem| anyhow!("smtp.to: {address:?} {problem}"))
        });
        let to = to.collect::<anyhow::Result<_>>()?;
        let pool = pool::Pool::new(settings, from.email.domain(), authorities).context("smtp")?;
        let to_field = Some(settings.to_field.clone()).filter(|field| !field.is_empty());
        Ok(Self { pool, from, to, to_field, timeout: settings.timeout, concurrency: settings.concurrency })
    }

    async fn send_mail(&self, message: &Message<'_>, to: &str) -> Result<(), SendError> {
        let to = recipient::parse(to)
            .map_err(|problem| SendError::Permanent(format!("the recipient {problem}")))?;
        let mail = mail::build(&self.from, to, message)
            .map_err(|error| SendError::Permanent(format!("the mail cannot be built: {error}")))?;
        let sending = async {
            let mut connection = self
                .pool
                .take()
                .await
                .map_err(|error| SendError::Down { reason: text(&error), after: None })?;
            connection
                .send(mail.envelope(), &mail.formatted())
                .await
                .map_err(|error| classify(&error, message.attempt))?;
            // Only a connection whose last mail is known to have been taken is used again.
            self.pool.put(connection);
            Ok(())
        };
        // A connection that is given up half-way is dropped with the future: what it would say next is not known.
        timeout(self.timeout, sending).await.unwrap_or_else(|_| {
            Err(SendError::Down { reason: format!("no answer within {:?}", self.timeout), after: None })
        })
    }
}

impl Channel for SmtpChannel {
    fn name(&self) -> &'static str {
        "smtp"
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    fn wants(&self, _: &Message<'_>) -> bool {
        true
    }

    fn targets(&self, message: &Message<'_>) -> Result<Vec<Target>, SendError> {
        let mut targets = self.fixed_targets();
        if let Some(value) = self.to_field.as_deref().and_then(|field| message.field(field)) {
            let address = recipient::parse(value).map_err(|problem| {
                let field = self.to_field.as_deref().unwrap_or_default();
                SendError::Permanent(format!("the event's field {field:?} {problem}"))
            })?;
            if !self.to.contains(&address) {
                targets.push(target(&address));
            }
        }
        Ok(targets)
    }

    fn fixed_targets(&self) -> Vec<Target> {
        self.to.iter().map(target).collect()
    }

    fn send<'a>(
        &'a self,
        message: &'a Message<'_>,
        target: &'a Target,
    ) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(self.send_mail(message, &target.address))
    }
}

/// The address itself is not in the mark: keys are shown to operators.
fn target(address: &Address) -> Target {
    let address = address.to_string();
    let mark = format!("smtp:{}", &digest(&[&address.to_ascii_lowercase()])[..16]);
    Target { mark, is_marked: true, address }
}

/// What an error after the login says about the mail and about the server (RFC 5321, 4.2; RFC 4954, 6).
fn classify(error: &SmtpError, attempt: u64) -> SendError {
    let reason = text(error);
    let code: Option<u16> = error.status().map(u16::from);
    match code {
        // Of the server or of the login, not of this mail: service not available, authentication wanted or refused.
        Some(421 | 454 | 521 | 530 | 534 | 535 | 538) => SendError::Down { reason, after: None },
        Some(code) if code >= 500 => SendError::Permanent(reason),
        Some(_) => {
            let doubled =
                NOT_NOW.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1).min(16) as u32));
            SendError::Temporary { reason, after: Some(doubled.min(NOT_NOW_MAX)) }
        }
        // The server cannot take what this mail needs, such as an address that is not ASCII.
        None if error.is_client() => SendError::Permanent(reason),
        None => SendError::Down { reason, after: None },
    }
}

fn text(error: &SmtpError) -> String {
    plain::line(&error.to_string(), ANSWER_MAX)
}
