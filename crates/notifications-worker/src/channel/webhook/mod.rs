//! The `webhook` channel: a signed request to one endpoint (Standard Webhooks, <https://www.standardwebhooks.com>).

mod answer;
mod payload;
mod resolver;
mod signature;

use std::{error::Error as _, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use reqwest::{Client, Response, redirect, retry};
use service_kit::config::WebhookEndpoint;
use url::{Host, Url};

use self::{
    resolver::{Blocked, GuardedResolver},
    signature::Secrets,
};
use super::{Channel, Message, SendError, Target};
use crate::{plain, ssrf};

/// How much of an answer's body is read: enough to say what is wrong.
const BODY_MAX: usize = 4 * 1024;
/// The longest text of a failure that is kept, in characters.
const REASON_MAX: usize = 300;

/// Sends requests to one endpoint.
pub(super) struct WebhookChannel {
    name: String,
    url: Url,
    secrets: Secrets,
    types: Vec<String>,
    concurrency: usize,
    client: Client,
}

impl WebhookChannel {
    /// Checks the endpoint and prepares its connections; nothing is connected yet.
    pub(super) fn new(
        endpoint: &WebhookEndpoint,
        concurrency: usize,
        authorities: Option<&[u8]>,
    ) -> anyhow::Result<Self> {
        let url = Url::parse(endpoint.url.expose()).context("url")?;
        check_host(&url, endpoint.allow_private)?;
        let mut secrets: Vec<String> =
            endpoint.secrets.iter().map(|secret| secret.expose().to_owned()).collect();
        if !endpoint.secrets_file.is_empty() {
            let file = &endpoint.secrets_file;
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("secrets_file: {file} cannot be read"))?;
            secrets.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
        }
        let secrets = Secrets::new(&secrets).map_err(|problem| anyhow!("secrets: {problem}"))?;
        let resolver = GuardedResolver::system(endpoint.allow_private);
        let client = client(endpoint.timeout, resolver, authorities)?;
        Ok(Self {
            name: format!("webhook:{}", endpoint.name),
            url,
            secrets,
            types: endpoint.types.clone(),
            concurrency,
            client,
        })
    }

    async fn post(&self, message: &Message<'_>) -> Result<(), SendError> {
        let id = format!("msg_{}", message.name_for(&self.name));
        let body = payload::body(message);
        let timestamp = Timestamp::now().as_second().to_string();
        let signature = self.secrets.sign(&id, &timestamp, &body);
        let request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body);
        let response = request.send().await.map_err(|error| failure(&error))?;
        if response.status().is_success() {
            // Accepted. A short answer is read to its end, so that the connection can be used again.
            beginning_of(response).await;
            return Ok(());
        }
        let (status, headers) = (response.status(), response.headers().clone());
        Err(answer::classify(status, &headers, &beginning_of(response).await))
    }
}

impl Channel for WebhookChannel {
    fn name(&self) -> &str {
        &self.name
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    fn wants(&self, message: &Message<'_>) -> bool {
        self.types.is_empty() || self.types.iter().any(|wanted| wanted == message.event.event_type.as_str())
    }

    fn targets(&self, message: &Message<'_>) -> Result<Vec<Target>, SendError> {
        Ok(if self.wants(message) { self.fixed_targets() } else { Vec::new() })
    }

    fn fixed_targets(&self) -> Vec<Target> {
        vec![Target { mark: self.name.clone(), is_marked: true, address: String::new() }]
    }

    fn send<'a>(&'a self, message: &'a Message<'_>, _: &'a Target) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(self.post(message))
    }
}

/// A client that goes where it is told and nowhere else: no redirects, no proxies, no addresses of ours.
fn client(
    timeout: Duration,
    resolver: GuardedResolver,
    authorities: Option<&[u8]>,
) -> anyhow::Result<Client> {
    // Tests of this crate come here without its main.
    service_kit::tls::install_provider();
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .retry(retry::never())
        .referer(false)
        .dns_resolver(Arc::new(resolver))
        .timeout(timeout)
        .connect_timeout(timeout)
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(concat!("orderflow/", env!("CARGO_PKG_VERSION")));
    if let Some(pem) = authorities {
        let certificates = reqwest::Certificate::from_pem_bundle(pem).context("notifications.ca_file")?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().context("the HTTP client")
}

/// An address in the URL itself is never resolved, so it is looked at here, once: there are no redirects. The URL parser
/// has brought decimal, octal and hexadecimal forms of IPv4 into the usual one.
fn check_host(url: &Url, allow_private: bool) -> anyhow::Result<()> {
    let ip = match url.host() {
        Some(Host::Ipv4(ip)) => ip.into(),
        Some(Host::Ipv6(ip)) => ip.into(),
        Some(Host::Domain(name)) if ssrf::is_metadata_name(name) => {
            bail!("url: {name} is a metadata service's name, and no receiver's")
        }
        Some(Host::Domain(_)) => return Ok(()),
        None => bail!("url: has no host"),
    };
    match ssrf::refusal(ip, allow_private) {
        None => Ok(()),
        Some(what) if ssrf::refusal(ip, true).is_none() => {
            bail!("url: {ip} is {what}; set allow_private = true if that is meant")
        }
        Some(what) => bail!("url: {ip} is {what}, and no receiver's"),
    }
}

/// The beginning of a body, as far as it comes. What follows is left unread: the connection is closed.
async fn beginning_of(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = BODY_MAX - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() >= BODY_MAX {
            break;
        }
    }
    body
}

/// Why there was no answer. An address of ours is not tried again: the name would have to lead elsewhere first.
fn failure(error: &reqwest::Error) -> SendError {
    let mut reason = String::new();
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(blocked) = error.downcast_ref::<Blocked>() {
            return SendError::Permanent(blocked.to_string());
        }
        // The last one is the cause; those above it say where it came through.
        reason = error.to_string();
        source = error.source();
    }
    let what = if error.is_timeout() {
        "no answer in time".to_owned()
    } else if error.is_connect() {
        format!("no connection: {reason}")
    } else if error.is_builder() {
        return SendError::Permanent(plain::line(
            &format!("the request cannot be built: {reason}"),
            REASON_MAX,
        ));
    } else {
        format!("no answer: {reason}")
    };
    SendError::Down { reason: plain::line(&what, REASON_MAX), after: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(url: &str, allow_private: bool) -> Result<(), String> {
        check_host(&Url::parse(url).expect("a URL"), allow_private).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_of_ours_are_refused_in_every_spelling() {
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://0x7f.1/",
            "http://127.1/",
            "http://１２７.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "https://10.0.0.1:8443/x",
            "http://[fd12::1]/",
            "http://[fe80::1]/",
        ] {
            let problem = checked(url, false).expect_err(url);
            assert!(problem.contains("allow_private = true"), "{url}: {problem}");
            assert_eq!(checked(url, true), Ok(()), "{url}");
        }
    }

    #[test]
    fn metadata_services_are_refused_always() {
        for url in [
            "http://169.254.169.254/latest/meta-data/",
            "http://2852039166/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[fd00:ec2::254]/",
            "http://metadata.google.internal/",
            "http://0.0.0.0/",
        ] {
            assert!(checked(url, true).is_err(), "{url}");
        }
    }

    #[test]
    fn others_are_left_to_the_resolver() {
        assert_eq!(checked("https://crm.example/hooks", false), Ok(()));
        assert_eq!(checked("https://1.1.1.1/hooks", false), Ok(()));
    }
}
