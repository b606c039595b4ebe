//! [`Upstream`]: another service of the pipeline whose answers are passed on.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use reqwest::{Client, Method, Url, redirect};
use serde_json::Value;
use service_kit::{
    Problem,
    admin_client::is_loopback,
    config::{Secret, Tls},
    http_client,
};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The largest answer that is passed on, in bytes.
const ANSWER_MAX: usize = 8 << 20;

/// A service, by what the problems call it.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    http: Client,
    base: Url,
    name: &'static str,
    kind: &'static str,
    api_key: Secret,
}

/// What it answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    content_type: Option<HeaderValue>,
    retry_after: Option<HeaderValue>,
    body: Vec<u8>,
}

impl Upstream {
    /// The service at `url`, which is presented `api_key`; problems with reaching it are of type `kind`.
    pub(crate) fn new(
        url: &str,
        name: &'static str,
        kind: &'static str,
        within: Duration,
        api_key: &Secret,
        tls: &Tls,
    ) -> anyhow::Result<Self> {
        // The key goes where the configuration says, and nowhere else.
        let never = redirect::Policy::none();
        let mut http =
            http_client::builder(tls)?.connect_timeout(CONNECT_TIMEOUT).timeout(within).redirect(never);
        let base = Url::parse(url)?;
        if is_loopback(&base) {
            // http_proxy in the environment is seldom meant for this machine.
            http = http.no_proxy();
        }
        Ok(Self { http: http.build()?, base, name, kind, api_key: api_key.clone() })
    }

    /// Sends a request to the path of these segments, with a query as it came.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answer, Problem> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // A path behind a gateway is kept, with or without its slash at the end.
            segments.pop_if_empty().extend(path);
        }
        url.set_query(query);
        let mut request = self.http.request(method, url);
        if !self.api_key.is_empty() {
            request = request.bearer_auth(self.api_key.expose());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut answer = request.send().await.map_err(|error| self.failed(&error))?;
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()?.parse().ok());
        let (content_type, retry_after) = (header("content-type"), header("retry-after"));
        let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.failed(&error))? {
            if bytes.len() + chunk.len() > ANSWER_MAX {
                return Err(self.unreachable("its answer is too long"));
            }
            bytes.extend_from_slice(&chunk);
        }
        let answer = Answer { status, content_type, retry_after, body: bytes };
        if status == StatusCode::UNAUTHORIZED || answer.json()["type"] == "/problems/insufficient-scope" {
            return Err(self.unauthorized(&answer));
        }
        Ok(answer)
    }

    /// Not passed on as it is: the browser would take it for its own login.
    fn unauthorized(&self, answer: &Answer) -> Problem {
        let title = format!("{} does not take this console's API key", self.name);
        let why = match (answer.json()["type"].as_str(), self.api_key.is_empty()) {
            (Some("/problems/insufficient-scope"), _) => "the key has not the scopes produce and read there",
            (Some("/problems/key-expired"), _) => "the key has expired",
            (_, true) => "it asks for one, and the console has none",
            (_, false) => "the key is not known there",
        };
        Problem::new(StatusCode::BAD_GATEWAY, "/problems/upstream-unauthorized", title).detail(format!(
            "{why}; set console.api_key (ORDERFLOW__CONSOLE__API_KEY or ORDERFLOW__CONSOLE__API_KEY__FILE) to one of \
             its keys with the scopes produce and read"
        ))
    }

    fn failed(&self, error: &reqwest::Error) -> Problem {
        self.unreachable(&http_client::cause(error))
    }

    fn unreachable(&self, reason: &str) -> Problem {
        let title = format!("{} does not answer", self.name);
        let detail = format!("{} at {} does not answer: {reason}", self.name, self.base);
        Problem::new(StatusCode::BAD_GATEWAY, self.kind, title).detail(detail)
    }
}

impl Answer {
    /// The body as JSON; `null` if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The problem that the answer is.
    pub(crate) fn problem(&self) -> Problem {
        let problem = Problem::answered(self.status, &self.json());
        let seconds = self.retry_after.as_ref().and_then(|value| value.to_str().ok()?.parse().ok());
        match seconds {
            Some(seconds) => problem.retry_after(Duration::from_secs(seconds)),
            None => problem,
        }
    }

    /// The answer as it came.
    pub(crate) fn pass_on(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = [(header::CONTENT_TYPE, self.content_type), (header::RETRY_AFTER, self.retry_after)];
        for (name, value) in headers {
            if let Some(value) = value {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
