//! HTTP as the tests speak it: JSON answers, events, lines.

use reqwest::{Method, Response};
use serde_json::Value;

/// An answer that has been read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.json()
    }

    /// The body, whatever the status; `null` if it is no JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// The type of the problem, with its status.
    #[track_caller]
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], self.status, "{self:?}");
        (self.status, json["type"].as_str().unwrap().to_owned())
    }
}

/// A client of one console.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) base: String,
}

impl Client {
    pub(crate) fn new(base: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, base: base.to_owned() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        read(request).await
    }

    /// Sends a form.
    pub(crate) async fn form(&self, path: &str, form: &str) -> Answer {
        let request = self.request(Method::POST, path);
        read(request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned())).await
    }

    /// Listens to events.
    pub(crate) async fn events(&self, path: &str) -> Events {
        listen(self.request(Method::GET, path)).await
    }
}

/// Listens to the events that answer a request.
pub(crate) async fn listen(request: reqwest::RequestBuilder) -> Events {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{answer:?}");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    Events { answer, text: String::new() }
}

pub(crate) async fn read(request: reqwest::RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Answer { status, headers, text: answer.text().await.unwrap() }
}

/// Server-sent events.
#[derive(Debug)]
pub(crate) struct Events {
    answer: Response,
    text: String,
}

impl Events {
    /// The next event that is no comment; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let rest = rest.len();
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(|text| text.trim_start().to_owned())
                };
                let found = field("event:")
                    .map(|name| (name, serde_json::from_str(&field("data:").unwrap_or_default()).unwrap()));
                self.text.drain(..self.text.len() - rest);
                if found.is_some() {
                    return found;
                }
            }
            let chunk = self.answer.chunk().await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The first event of a name that fits.
    pub(crate) async fn find(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            loop {
                let (event, data) = self.next().await.expect("the stream of events has not ended");
                if event == name && fits(&data) {
                    return data;
                }
            }
        };
        tokio::time::timeout(crate::bench::SOON, found).await.expect("the event comes in time")
    }
}
