//! What is checked of the channels that notifications go to. Only of those that are configured: the sections of the
//! others mean nothing.

use std::time::Duration;

use super::check::Checker;
use super::types::{Channel, SmtpSecurity};
use super::value::friendly;
use super::{Settings, WebhookEndpoint};

const SENT_TTL_MIN: Duration = Duration::from_mins(1);
const BREAKER_OPEN_MIN: Duration = Duration::from_millis(100);
const BREAKER_OPEN_MAX: Duration = Duration::from_hours(1);
const CONCURRENCY_MAX: usize = 1_000;
const RECIPIENTS_MAX: usize = 20;
const ENDPOINT_NAME_MAX: usize = 32;
/// Standard Webhooks: between 24 and 64 bytes, which are so many characters of Base64.
const SECRET_CHARS: (usize, usize) = (32, 88);

const ENDPOINTS: &str = "webhook.endpoints";

impl Checker<'_> {
    pub(super) fn notifications(&mut self, settings: &Settings) {
        let Settings { notifications, worker, .. } = settings;
        let has = |channel| notifications.channels.contains(&channel);
        if notifications.sent_ttl < SENT_TTL_MIN {
            let problem = format!("{} is too short", friendly(notifications.sent_ttl));
            let allowed = format!("at least {}", friendly(SENT_TTL_MIN));
            self.fail("notifications.sent_ttl", problem, allowed);
        }
        if notifications.breaker_open < BREAKER_OPEN_MIN {
            let problem = format!("{} is too short", friendly(notifications.breaker_open));
            let allowed = format!("at least {}", friendly(BREAKER_OPEN_MIN));
            self.fail("notifications.breaker_open", problem, allowed);
        }
        if notifications.breaker_open_max > BREAKER_OPEN_MAX {
            let problem = format!("{} is too long", friendly(notifications.breaker_open_max));
            let allowed = format!("at most {}", friendly(BREAKER_OPEN_MAX));
            self.fail("notifications.breaker_open_max", problem, allowed);
        }
        if notifications.breaker_open > notifications.breaker_open_max {
            let problem =
                format!("{} is above notifications.breaker_open_max", friendly(notifications.breaker_open));
            let allowed = format!("at most {}", friendly(notifications.breaker_open_max));
            self.fail("notifications.breaker_open", problem, allowed);
        }
        if notifications.breaker_failures == 0 {
            self.fail("notifications.breaker_failures", "is 0", "at least 1");
        }
        // The failure at which a channel counts as down is not counted against its entry: with a bound below it, the
        // only entry of a quiet stream would be a dead letter before.
        if (has(Channel::Smtp) || has(Channel::Webhook))
            && notifications.breaker_failures > worker.max_deliveries
        {
            let problem = format!(
                "{} is above worker.max_deliveries: an entry would be given up before its channel counts as down",
                notifications.breaker_failures
            );
            let allowed = format!("at most {}", worker.max_deliveries);
            self.fail("notifications.breaker_failures", problem, allowed);
        }
        for (key, concurrency) in [
            ("smtp.concurrency", settings.smtp.concurrency),
            ("webhook.concurrency", settings.webhook.concurrency),
        ] {
            if !(1..=CONCURRENCY_MAX).contains(&concurrency) {
                self.fail(key, format!("is {concurrency}"), format!("from 1 to {CONCURRENCY_MAX}"));
            }
        }
        if has(Channel::Smtp) {
            self.smtp(settings);
        }
        self.endpoints(settings, has(Channel::Webhook));
    }

    fn smtp(&mut self, settings: &Settings) {
        let smtp = &settings.smtp;
        for (key, value, allowed) in [
            ("smtp.host", &smtp.host, "the name of a mail server, such as mail.example.com"),
            ("smtp.from", &smtp.from, "the sender's address, such as orders@shop.example"),
        ] {
            if value.is_empty() || value.chars().any(char::is_control) {
                self.fail(key, "is needed by the channel smtp", allowed);
            }
        }
        self.names("smtp.to", &smtp.to);
        if smtp.to.len() > RECIPIENTS_MAX {
            self.fail(
                "smtp.to",
                format!("has {} addresses", smtp.to.len()),
                format!("at most {RECIPIENTS_MAX}"),
            );
        }
        if smtp.to.is_empty() && smtp.to_field.is_empty() {
            self.fail("smtp.to", "is empty, and so is smtp.to_field", "a recipient in one of the two");
        }
        if smtp.username.is_empty() != smtp.password.is_empty() {
            self.fail("smtp.password", "goes with smtp.username", "both of them, or neither");
        }
        if smtp.security == SmtpSecurity::None && !smtp.username.is_empty() {
            let problem = "would send smtp.password in the clear";
            self.fail("smtp.security", problem, "starttls or tls, or no smtp.username");
        }
        if smtp.timeout.is_zero() {
            self.fail("smtp.timeout", "is too short", "more than zero");
        }
        self.below(
            ("smtp.timeout", smtp.timeout),
            ("worker.handler_timeout", settings.worker.handler_timeout, 2),
            "a mail that waits for its turn would be cut off",
        );
    }

    fn endpoints(&mut self, settings: &Settings, used: bool) {
        let endpoints = &settings.webhook.endpoints;
        if used && endpoints.is_empty() {
            self.fail(ENDPOINTS, "is empty", "at least one endpoint for the channel webhook");
        }
        let names: Vec<_> = endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
        self.names(ENDPOINTS, &names);
        for endpoint in endpoints {
            self.endpoint(endpoint);
            if used {
                self.below(
                    (ENDPOINTS, endpoint.timeout),
                    ("worker.handler_timeout", settings.worker.handler_timeout, 2),
                    "a request that waits for its turn would be cut off",
                );
            }
        }
    }

    fn endpoint(&mut self, endpoint: &WebhookEndpoint) {
        let WebhookEndpoint { name, url, secrets, secrets_file, timeout, .. } = endpoint;
        let mut wrong = |problem: &str, allowed: &str| {
            self.fail(ENDPOINTS, format!("{name:?} {problem}"), allowed);
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.len() > ENDPOINT_NAME_MAX || !name.chars().all(is_plain) {
            wrong("is no name for an endpoint", "letters, digits, - and _, at most 32");
        }
        match url::Url::parse(url.expose()) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
                wrong("has a URL that is not HTTP's", "http://… or https://…");
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                wrong("has a URL with user or password", "none: requests are signed");
            }
            Ok(url) if url.fragment().is_some() => wrong("has a URL with a fragment", "none: it is not sent"),
            Ok(_) => {}
            Err(_) => wrong("has a URL that is none", "http://… or https://…"),
        }
        if secrets.is_empty() && secrets_file.is_empty() {
            wrong("has no secret", "secrets or secrets_file: what requests are signed with");
        }
        if !secrets.iter().all(|secret| is_webhook_secret(secret.expose())) {
            wrong("has a secret that cannot be used", "whsec_ and 24 to 64 bytes in Base64");
        }
        if timeout.is_zero() {
            wrong("has no timeout", "more than zero");
        }
    }
}

/// `whsec_` and Base64 of a length that fits (Standard Webhooks, "Symmetric").
fn is_webhook_secret(secret: &str) -> bool {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    secret.strip_prefix("whsec_").is_some_and(|text| {
        (SECRET_CHARS.0..=SECRET_CHARS.1).contains(&text.len()) && text.chars().all(is_base64)
    })
}
