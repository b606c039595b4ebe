//! HTTP to producer-api: one request, and what it came to.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Url, header};
use serde_json::Value;
use service_kit::{Settings, config::Secret, http_client};

use super::{
    answer::{self, Answer, Outcome},
    check::Event,
};
use service_kit::http::dialable;

use crate::address::is_loopback;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Added to the producer's own deadline, which is part of its configuration and may be another's.
const DEADLINE_MARGIN: Duration = Duration::from_secs(25);

/// What one request came to.
#[derive(Debug)]
pub(super) enum Reply {
    /// producer-api answered, and said when to come again if it makes sense to.
    Answered(Answer, Option<Duration>),
    /// No connection could be made: nothing was sent.
    Unreachable(String),
}

/// A client of one producer-api.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    api_key: Secret,
}

impl Client {
    /// For the API at `base`, else at the address in the settings, which is presented the key.
    pub(super) fn new(base: Option<&Url>, settings: &Settings, api_key: Secret) -> anyhow::Result<Self> {
        let url = match base {
            Some(base) => base.clone(),
            None => Url::parse(&format!(
                "{}://{}",
                settings.tls.public_scheme(),
                dialable(settings.producer.listen)
            ))
            .context("producer.listen")?,
        };
        anyhow::ensure!(
            ["http", "https"].contains(&url.scheme()) && url.has_host(),
            "--url {url} cannot be used; allowed: http://host[:port] or https://host[:port]"
        );
        // Not `Url::join`: a path behind a gateway is kept, with or without its slash at the end.
        let url =
            Url::parse(&format!("{}/v1/events", url.as_str().trim_end_matches('/'))).context("--url")?;
        let mut http = http_client::builder(&settings.tls)?;
        if url.host_str().is_some_and(is_loopback) {
            // http_proxy in the environment is seldom meant for this machine.
            http = http.no_proxy();
        }
        let http = http
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(settings.producer.request_deadline + DEADLINE_MARGIN)
            .user_agent(concat!("orderflow/", env!("CARGO_PKG_VERSION")))
            // A redirected POST could become a GET.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("cannot set up HTTP")?;
        Ok(Self { http, url, api_key })
    }

    /// Where requests go.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Sends events as one batch, in their order.
    pub(super) async fn post(&self, events: &[&Event]) -> Reply {
        let events_json: Vec<_> = events.iter().map(|event| event.json.as_str()).collect();
        let body = format!("[{}]", events_json.join(","));
        let mut request = self.http.post(self.url.clone()).header(header::CONTENT_TYPE, "application/json");
        if !self.api_key.is_empty() {
            request = request.bearer_auth(self.api_key.expose());
        }
        let unknown = |error: reqwest::Error| {
            let outcome = Outcome::Unknown(describe(&error));
            Reply::Answered(Answer::Each(vec![outcome; events.len()]), None)
        };
        let response = match request.body(body).send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Reply::Unreachable(describe(&error)),
            Err(error) => return unknown(error),
        };
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let body = match response.bytes().await {
            Ok(body) => serde_json::from_slice(&body).unwrap_or(Value::Null),
            Err(error) => return unknown(error),
        };
        Reply::Answered(answer::read(status, &body, events.len()), retry_after)
    }
}

/// The delay in seconds; producer-api sends no dates.
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The last cause is what the system said; the ones before it repeat the URL.
fn describe(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.is_timeout() { format!("no answer in time ({cause})") } else { cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_appended_to_whatever_base() {
        let settings = Settings::default();
        let url = |base: Option<&str>| {
            let base = base.map(|base| Url::parse(base).unwrap());
            Client::new(base.as_ref(), &settings, Secret::new("")).map(|client| client.url().to_string())
        };
        assert_eq!(url(None).unwrap(), "http://127.0.0.1:8080/v1/events");
        for base in ["http://h:1", "http://h:1/"] {
            assert_eq!(url(Some(base)).unwrap(), "http://h:1/v1/events");
        }
        assert_eq!(url(Some("http://h/orders/")).unwrap(), "http://h/orders/v1/events");
        assert_eq!(url(Some("https://h/")).unwrap(), "https://h/v1/events");
    }
}
