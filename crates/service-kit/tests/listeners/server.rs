//! A port with routes that show how it treats its clients.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, Request},
    http::{StatusCode, Version},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper::body::Frame;
use prometheus::Registry;
use service_kit::{
    Settings, config,
    http::{Listeners, Port, is_body_timeout},
};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

/// Longer than every bound of the tests.
const SILENCE: Duration = Duration::from_secs(2);

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    scheme: &'static str,
    registry: Registry,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<bool>,
}

impl Server {
    /// A port with bounds that `change` has changed; those on time are 600 ms from the start.
    pub(crate) async fn start(change: impl FnOnce(&mut config::Http)) -> Self {
        Self::with(|settings| change(&mut settings.http)).await
    }

    /// The same with any setting.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        let short = Duration::from_millis(600);
        let http = &mut settings.http;
        (http.header_timeout, http.idle_timeout) = (short, short);
        (http.body_timeout, http.write_timeout) = (short, short);
        change(&mut settings);
        let registry = Registry::new();
        let listeners = Listeners::register(Arc::new(settings), &registry).unwrap();
        let port = Port::public(SocketAddr::from(([127, 0, 0, 1], 0)), "producer.listen");
        let listener = listeners.bind(port).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let scheme = listener.scheme();
        let stop = CancellationToken::new();
        let task = tokio::spawn(listener.serve(router(), stop.clone(), Duration::from_secs(10)));
        Self { addr, scheme, registry, stop, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.addr)
    }

    /// The value of a metric of the port: the sum over its series whose labels hold `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let family =
            families.iter().find(|family| family.name() == name).unwrap_or_else(|| panic!("no {name}"));
        let matching = family
            .get_metric()
            .iter()
            .filter(|metric| label.is_empty() || metric.get_label().iter().any(|pair| pair.value() == label));
        matching.map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value()).sum()
    }

    pub(crate) fn cut(&self, reason: &str) -> f64 {
        self.metric("http_connections_cut_total", reason)
    }
}

fn router() -> Router {
    Router::new()
        .route("/who", get(who))
        .route("/body", post(body))
        .route("/endless", get(|| async { Body::new(Endless) }))
        .route("/silent", get(|| async { Body::new(Silent(Some(Box::pin(sleep(SILENCE))))) }))
}

async fn who(ConnectInfo(peer): ConnectInfo<SocketAddr>, version: Version) -> String {
    format!("{} over {version:?}", peer.ip())
}

/// How many bytes came, or why they did not.
async fn body(request: Request) -> Response {
    match axum::body::to_bytes(request.into_body(), usize::MAX).await {
        Ok(body) => body.len().to_string().into_response(),
        Err(error) if is_body_timeout(&error) => StatusCode::REQUEST_TIMEOUT.into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// More than anybody reads.
struct Endless;

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 16 << 10])))))
    }
}

/// Says something after two seconds, and then ends: longer than every bound.
struct Silent(Option<Pin<Box<tokio::time::Sleep>>>);

impl hyper::body::Body for Silent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(sleep) = &mut self.0 else { return Poll::Ready(None) };
        ready!(sleep.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"at last")))))
    }
}
