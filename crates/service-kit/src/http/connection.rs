//! Serves one connection: HTTP/1.1 or HTTP/2, whichever its client speaks, under the eyes of a watchdog.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    response::Response,
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::TcpStream,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::{
    activity::{Activity, Cut, Patience, Verdict},
    body::{AnswerBody, RequestBody},
    head::{self, HeadLimits},
    io::{Stream, Watched},
    metrics::ListenerMetrics,
};
use crate::{config::Settings, tls::Certificates};

/// The watchdog looks so many times within the shortest bound, so that no bound is overrun by more than a quarter.
const LOOKS: u32 = 4;
/// However short the bounds are.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(20);
/// HTTP/2: how often a connection is asked for a sign of life, and how long it may take to give one (RFC 9113, 6.7).
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2: what a client may send ahead of being read, for a stream and for the connection, in bytes.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// HTTP/2: what is kept of an answer for a client that does not read, in bytes.
const SEND_BUFFER: usize = 64 << 10;
/// HTTP/2: streams that a client may reset before they were looked at (CVE-2023-44487), and that may break its rules.
const PENDING_RESETS_MAX: usize = 20;
const LOCAL_RESETS_MAX: usize = 100;
/// HTTP/1: the smallest buffer that hyper takes, in bytes.
const READ_BUFFER_MIN: usize = 8 << 10;

/// An extension of the requests that came over TLS.
#[derive(Debug, Clone, Copy)]
pub struct OverTls;

/// The bounds of the connections of a port.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    protocol: Arc<Builder<TokioExecutor>>,
    patience: Patience,
    body_timeout: Duration,
    head: HeadLimits,
    tls: Option<Arc<Certificates>>,
    handshake_timeout: Duration,
    metrics: ListenerMetrics,
}

impl Shared {
    pub(super) fn new(settings: &Settings, tls: Option<Arc<Certificates>>, metrics: ListenerMetrics) -> Self {
        let handshake_timeout = settings.tls.handshake_timeout;
        let settings = &settings.http;
        let head = HeadLimits { uri_bytes: settings.max_uri_bytes, header_bytes: settings.max_header_bytes };
        // Both together, so that each is told by its own answer unless one alone is over both.
        let head_bytes = head.uri_bytes + head.header_bytes;
        let mut protocol = Builder::new(TokioExecutor::new());
        protocol
            .http1()
            .timer(TokioTimer::new())
            // The watchdog's: hyper does not tell a slow head from an idle connection.
            .header_read_timeout(None)
            // A head must fit; bodies are read in parts of at most this size.
            .max_buf_size(READ_BUFFER_MIN.max(head_bytes));
        protocol
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(settings.http2_max_streams as u32)
            .max_header_list_size(head_bytes as u32)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
            .max_local_error_reset_streams(LOCAL_RESETS_MAX)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        let patience = Patience {
            head: settings.header_timeout,
            idle: settings.idle_timeout,
            write: settings.write_timeout,
        };
        let body_timeout = settings.body_timeout;
        Self { protocol: Arc::new(protocol), patience, body_timeout, head, tls, handshake_timeout, metrics }
    }

    pub(super) fn certificates(&self) -> Option<&Arc<Certificates>> {
        self.tls.as_ref()
    }

    fn look_interval(&self) -> Duration {
        let Patience { head, idle, write } = self.patience;
        (head.min(idle).min(write) / LOOKS).max(LOOK_INTERVAL_MIN)
    }
}

/// What the connections of a port are served with.
#[derive(Debug)]
pub(super) struct Served {
    shared: Shared,
    router: Router,
}

impl Served {
    pub(super) fn new(shared: Shared, router: Router) -> Self {
        Self { shared, router }
    }
}

/// Serves a connection to its end.
pub(super) async fn run(served: Arc<Served>, tcp: TcpStream, peer: SocketAddr, shutdown: CancellationToken) {
    // Answers are written whole; waiting for more to send would only delay them. It fails on a socket that is gone.
    _ = tcp.set_nodelay(true);
    // Nobody has asked for anything yet: a shutdown need not wait for a handshake.
    let begun = shutdown.run_until_cancelled(begin(&served.shared, tcp)).await;
    let stream = match begun {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => {
            served.shared.metrics.cut(Cut::TlsHandshake);
            tracing::debug!(%peer, error, "a TLS handshake failed");
            return;
        }
        None => return,
    };
    let activity = Arc::new(Activity::new());
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
    drive(&served, io, &activity, peer, &shutdown).await;
}

/// Shakes hands where the port speaks TLS.
async fn begin(shared: &Shared, tcp: TcpStream) -> Result<Stream, String> {
    let Some(certificates) = shared.certificates() else { return Ok(Stream::Plain(tcp)) };
    let handshaking = TlsAcceptor::from(certificates.current()).accept(tcp);
    match timeout(shared.handshake_timeout, handshaking).await {
        Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it took too long".to_owned()),
    }
}

async fn drive(
    served: &Arc<Served>,
    io: TokioIo<Watched>,
    activity: &Arc<Activity>,
    peer: SocketAddr,
    shutdown: &CancellationToken,
) {
    let Shared { protocol, patience, metrics, .. } = &served.shared;
    let service = service_fn(|request| answer(Arc::clone(served), request, peer, activity));
    let mut connection = pin!(protocol.serve_connection(io, service));
    let mut look = interval(served.shared.look_interval());
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ending: Option<Instant> = None;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    // Clients that break off or speak something else are everyday; metrics tell of the cut ones.
                    tracing::debug!(%peer, %error, "a connection ended early");
                }
                return;
            }
            () = shutdown.cancelled(), if ending.is_none() => {
                connection.as_mut().graceful_shutdown();
                ending = Some(Instant::now());
            }
            _ = look.tick() => match activity.verdict(patience) {
                Verdict::Fine => {}
                Verdict::Idle if ending.is_none() => {
                    connection.as_mut().graceful_shutdown();
                    ending = Some(Instant::now());
                }
                // It did not take leave of us.
                Verdict::Idle => {
                    if ending.is_some_and(|since| since.elapsed() > patience.write) && activity.is_quiet() {
                        return;
                    }
                }
                Verdict::Cut(cut) => {
                    metrics.cut(cut);
                    tracing::debug!(%peer, reason = cut.label(), "a connection is cut");
                    return;
                }
            }
        }
    }
}

/// Answers one request.
fn answer(
    served: Arc<Served>,
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    activity: &Arc<Activity>,
) -> impl Future<Output = Result<hyper::Response<AnswerBody>, Infallible>> + Send + 'static {
    let open = activity.begin(request.version());
    async move {
        let Shared { head, body_timeout, tls, metrics, .. } = &served.shared;
        let (mut parts, incoming) = request.into_parts();
        let response: Response = if let Some(refusal) = head::refuse(&parts, head) {
            refusal
        } else {
            parts.extensions.insert(ConnectInfo(peer));
            if tls.is_some() {
                parts.extensions.insert(OverTls);
            }
            let body = Body::new(RequestBody::new(incoming, *body_timeout, metrics.clone()));
            // A router is always ready, so that `poll_ready` can be left out.
            match served.router.clone().call(Request::from_parts(parts, body)).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        };
        Ok(response.map(|body| AnswerBody::new(body, open)))
    }
}
