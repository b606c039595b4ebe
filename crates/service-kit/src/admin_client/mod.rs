//! A client of the routes under `/admin` ([`crate::admin`]) of a running worker, at the address that it has registered.
//!
//! The token goes to whatever is at that address, in the clear unless it is an `https://` one (`tls.ops` of the worker):
//! whoever can write to Redis, or is on the way, can have it. It opens the workers' levers and nothing else. So that it
//! goes nowhere beyond, no redirect is followed.
//!
//! What a worker answers is read leniently: during a rolling deploy it may be of an older or a newer version.

mod answers;
mod error;

use std::{net::IpAddr, time::Duration};

use axum::http::StatusCode;
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response, Url, redirect};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use answers::{
    ClaimAnswer, ConsumerAnswer, HandoverAnswer, LogAnswer, RecentAnswer, RemovedAnswer, WorkerAnswer,
};
pub use error::AdminError;

use crate::{
    Problem,
    config::{Secret, Tls},
    http_client::{self, ClientError},
};

/// Longest wait for a connection, unless the whole request has less.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the worker waits for the outcome of any lever.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The largest answer that is read, in bytes: a worker with thousands of consumers stays far below it.
const ANSWER_MAX: usize = 4 << 20;

/// Asks workers and pulls their levers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AdminClient {
    http: Client,
    /// For addresses on this machine: a proxy in the environment is seldom meant for them.
    direct: Client,
    token: Secret,
}

impl AdminClient {
    /// A client that presents `token`, the workers' `admin.token`, and trusts what `tls` says.
    pub fn new(token: &Secret, tls: &Tls) -> Result<Self, ClientError> {
        // A lever is pulled where the worker says that it is, and nowhere else.
        let never = redirect::Policy::none;
        let builder = || -> Result<ClientBuilder, ClientError> {
            let builder = http_client::builder(tls)?;
            Ok(builder.connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT).redirect(never()))
        };
        Ok(Self { http: builder()?.build()?, direct: builder()?.no_proxy().build()?, token: token.clone() })
    }

    /// Whether there is a token to present. Without one no worker obeys.
    pub fn has_token(&self) -> bool {
        !self.token.is_empty()
    }

    /// `GET /admin/worker`: the worker and its consumers, answered within `within`.
    pub async fn worker(&self, address: &str, within: Duration) -> Result<WorkerAnswer, AdminError> {
        let request = self.request(address, Method::GET, &["worker"], None)?.timeout(within);
        self.send(address, request).await
    }

    /// Pauses all consumers of the worker, or lets them go on.
    pub async fn pause_all(&self, address: &str, paused: bool) -> Result<(), AdminError> {
        self.post(address, &["worker", pause_or_resume(paused)], &json!({})).await
    }

    /// Turns the worker's automatic claiming on or off.
    pub async fn set_claiming(&self, address: &str, auto: bool) -> Result<(), AdminError> {
        self.post(address, &["worker", "claiming"], &json!({ "auto": auto })).await
    }

    /// Adds a consumer to the worker.
    pub async fn add(&self, address: &str, consumer: &str) -> Result<(), AdminError> {
        self.post::<Value>(address, &["consumers"], &json!({ "name": consumer })).await.map(drop)
    }

    /// Removes a consumer, whose entries go to `to` or whom the worker chooses.
    pub async fn remove(
        &self,
        address: &str,
        consumer: &str,
        to: Option<&str>,
    ) -> Result<RemovedAnswer, AdminError> {
        let query = to.map(|to| ("to", to));
        let request = self.request(address, Method::DELETE, &["consumers", consumer], query)?;
        self.send(address, request).await
    }

    /// Pauses one consumer, or lets it go on.
    pub async fn pause(&self, address: &str, consumer: &str, paused: bool) -> Result<(), AdminError> {
        self.post(address, &["consumers", consumer, pause_or_resume(paused)], &json!({})).await
    }

    /// Lets a consumer claim idle entries now.
    pub async fn claim(
        &self,
        address: &str,
        consumer: &str,
        min_idle_ms: Option<u64>,
        from: Option<&str>,
    ) -> Result<ClaimAnswer, AdminError> {
        let body = json!({ "min_idle_ms": min_idle_ms, "from": from });
        self.post(address, &["consumers", consumer, "claim"], &body).await
    }

    /// Hands what a consumer has not started over to another.
    pub async fn handover(
        &self,
        address: &str,
        consumer: &str,
        to: &str,
    ) -> Result<HandoverAnswer, AdminError> {
        self.post(address, &["consumers", consumer, "handover"], &json!({ "to": to })).await
    }

    /// Lets a consumer drop the next `count` deliveries; how many it is to drop in all.
    pub async fn drop_next(&self, address: &str, consumer: &str, count: u64) -> Result<u64, AdminError> {
        let answer: Value =
            self.post(address, &["consumers", consumer, "drop-next"], &json!({ "count": count })).await?;
        answer["queued"].as_u64().ok_or_else(|| AdminError::Unreadable {
            address: address.to_owned(),
            reason: "it does not say how many it will drop".to_owned(),
        })
    }

    /// `GET /admin/log`: what a service logs, at the address of its ops port.
    pub async fn log(&self, address: &str) -> Result<LogAnswer, AdminError> {
        let request = self.request(address, Method::GET, &["log"], None)?;
        self.send(address, request).await
    }

    /// Has a service log what `filter` says; for as long as `lasting` says (`"10m"`), if it does.
    pub async fn set_log(
        &self,
        address: &str,
        filter: &str,
        lasting: Option<&str>,
    ) -> Result<LogAnswer, AdminError> {
        let body = json!({ "filter": filter, "for": lasting });
        let request = self.request(address, Method::PUT, &["log"], None)?.json(&body);
        self.send(address, request).await
    }

    /// Has a service log what its configuration says.
    pub async fn reset_log(&self, address: &str) -> Result<LogAnswer, AdminError> {
        let request = self.request(address, Method::DELETE, &["log"], None)?;
        self.send(address, request).await
    }

    /// `POST /admin/<path>` with a body; a `204` is read as JSON's `null`.
    pub async fn post<T: DeserializeOwned>(
        &self,
        address: &str,
        path: &[&str],
        body: &Value,
    ) -> Result<T, AdminError> {
        let request = self.request(address, Method::POST, path, None)?.json(body);
        self.send(address, request).await
    }

    fn request(
        &self,
        address: &str,
        method: Method,
        path: &[&str],
        query: Option<(&str, &str)>,
    ) -> Result<RequestBuilder, AdminError> {
        if address.is_empty() {
            return Err(AdminError::NoAddress);
        }
        let address = address.to_owned();
        if self.token.is_empty() {
            return Err(AdminError::NoToken { address });
        }
        let unusable = |reason: String| AdminError::NotAnAddress { address: address.clone(), reason };
        let (scheme, host) = match address.split_once("://") {
            Some((scheme @ ("http" | "https"), host)) => (scheme, host),
            Some(_) => return Err(unusable("it is neither http nor https".to_owned())),
            None => ("http", address.as_str()),
        };
        // Anything else would make it a part of another URL than the one that is meant.
        if host.contains(['/', '\\', '?', '#', '@']) {
            return Err(unusable("it is not host:port".to_owned()));
        }
        let mut url =
            Url::parse(&format!("{scheme}://{host}/admin")).map_err(|error| unusable(error.to_string()))?;
        let http = if is_loopback(&url) { &self.direct } else { &self.http };
        url.path_segments_mut().map_err(|()| unusable("it cannot be asked".to_owned()))?.extend(path);
        if let Some((name, value)) = query {
            url.query_pairs_mut().append_pair(name, value);
        }
        Ok(http.request(method, url).bearer_auth(self.token.expose()))
    }

    async fn send<T: DeserializeOwned>(
        &self,
        address: &str,
        request: RequestBuilder,
    ) -> Result<T, AdminError> {
        let address = address.to_owned();
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Err(AdminError::unreachable(address, &error)),
        };
        let status = answer.status();
        let body = match bounded(answer).await {
            Ok(body) => body,
            Err(error) => return Err(AdminError::unreachable(address, &error)),
        };
        let unreadable = |reason: String| AdminError::Unreadable { address: address.clone(), reason };
        let Some(body) = body else { return Err(unreadable("it is too long".to_owned())) };
        if status.is_redirection() {
            return Err(unreadable("it leads elsewhere".to_owned()));
        }
        if !status.is_success() {
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let status = StatusCode::from_u16(status.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
            let problem = Box::new(Problem::answered(status, &body));
            return Err(AdminError::Refused { address, problem });
        }
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))
    }
}

/// The body, or `None` if it is too long.
async fn bounded(mut answer: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > ANSWER_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

const fn pause_or_resume(paused: bool) -> &'static str {
    if paused { "pause" } else { "resume" }
}

/// Whether the host of a URL is this machine by its name or number.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use axum::response::Redirect;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::Settings;

    #[test]
    fn loopback_has_several_names() {
        let is_loopback = |host: &str| is_loopback(&Url::parse(&format!("http://{host}/")).unwrap());
        for host in ["localhost", "127.0.0.1:9102", "127.8.0.1", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        assert!(!is_loopback("10.0.0.7") && !is_loopback("example.com"));
    }

    #[test]
    fn a_worker_that_cannot_be_asked_is_told_apart() {
        let tls = Settings::default().tls;
        let client = |token| AdminClient::new(&Secret::new(token), &tls).unwrap();
        let asked =
            |client: &AdminClient, address| client.request(address, Method::GET, &["worker"], None).err();
        let with_token = client("0123456789abcdef");
        assert!(matches!(asked(&with_token, ""), Some(AdminError::NoAddress)));
        for address in [
            "a b",
            "h:x",
            "user@h:1",
            "user:word@h:1",
            "h:1/x",
            "h:1/",
            "h:1?x",
            "h:1#x",
            "h:1\\x",
            "ftp://h:1",
            "https://h:1/x",
        ] {
            let refused = asked(&with_token, address);
            assert!(matches!(refused, Some(AdminError::NotAnAddress { .. })), "{address}: {refused:?}");
        }
        assert!(matches!(asked(&client(""), "h:1"), Some(AdminError::NoToken { .. })));
        for address in ["h:1", "10.0.0.7:9102", "[::1]:9102", "worker-1.internal:80", "https://h:1"] {
            assert!(asked(&with_token, address).is_none(), "{address}");
        }
    }

    /// Serves a router on a free port; its address.
    async fn served(router: axum::Router) -> String {
        let port = crate::http::Port::ops("127.0.0.1:0".parse().unwrap(), "x");
        let listener = crate::http::Listeners::default().bind(port).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(listener.serve(router, CancellationToken::new(), Duration::ZERO));
        address
    }

    #[tokio::test]
    async fn nobody_is_led_elsewhere() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&asked);
        let elsewhere = served(axum::Router::new().fallback(async move || {
            counting.fetch_add(1, Ordering::Relaxed);
            "{}"
        }));
        let elsewhere = format!("http://{}/admin/worker", elsewhere.await);
        let address =
            served(axum::Router::new().fallback(async move || Redirect::temporary(&elsewhere))).await;
        let tls = Settings::default().tls;
        let client = AdminClient::new(&Secret::new("0123456789abcdef"), &tls).unwrap();
        let looked = client.worker(&address, Duration::from_secs(5)).await;
        assert!(matches!(looked, Err(AdminError::Unreadable { .. })), "{looked:?}");
        let paused = client.pause_all(&address, true).await;
        assert!(matches!(paused, Err(AdminError::Unreadable { .. })), "{paused:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 0);
    }
}
