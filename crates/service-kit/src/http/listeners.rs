//! [`Listeners`] binds the ports of a process, and a [`Listener`] serves one until shutdown.

use std::{convert::Infallible, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::Router;
use prometheus::Registry;
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    BindError, bind,
    connection::{self, Shared},
    metrics::{HttpMetrics, ListenerMetrics},
    throttle::Throttle,
};
use crate::{
    config::Settings,
    tls::{Certificates, TlsError},
};

/// How long the first retry after a failed accept waits; each further one twice as long.
const ACCEPT_BACKOFF_MIN: Duration = Duration::from_millis(10);
const ACCEPT_BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Why a port cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// It cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Its certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A port of this process.
#[derive(Debug, Clone, Copy)]
pub struct Port {
    /// What it is called in metrics and logs: `public` or `ops`.
    pub name: &'static str,
    /// The setting that holds its address, e.g. `producer.listen`.
    pub key: &'static str,
    /// Its address.
    pub addr: SocketAddr,
    /// Whether it is the one for health, metrics and administration.
    is_ops: bool,
}

impl Port {
    /// The port for clients.
    pub const fn public(addr: SocketAddr, key: &'static str) -> Self {
        Self { name: "public", key, addr, is_ops: false }
    }

    /// The port for health, metrics and administration.
    pub const fn ops(addr: SocketAddr, key: &'static str) -> Self {
        Self { name: "ops", key, addr, is_ops: true }
    }
}

/// What the ports of a process have in common: their bounds and their metrics. Clones share it.
#[derive(Debug, Clone)]
pub struct Listeners {
    settings: Arc<Settings>,
    metrics: HttpMetrics,
}

/// With the built-in bounds and metrics that nobody sees: for tests.
impl Default for Listeners {
    fn default() -> Self {
        let metrics = HttpMetrics::new().expect("the names of the metrics are well-formed");
        Self { settings: Arc::default(), metrics }
    }
}

impl Listeners {
    /// With the bounds of the settings.
    ///
    /// # Errors
    /// If the registry has their metrics already.
    pub fn register(settings: Arc<Settings>, registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = HttpMetrics::new()?;
        metrics.register(registry)?;
        Ok(Self { settings, metrics })
    }

    /// Binds a port and reads its certificate, if it has one. Nothing is accepted before it is
    /// [served](Listener::serve).
    ///
    /// # Errors
    /// A [`ListenError`] that says which setting to change.
    pub async fn bind(&self, port: Port) -> Result<Listener, ListenError> {
        let listener = bind(port.addr, port.key).await?;
        let tls = self.certificates(&port)?;
        let metrics = self.metrics.of(port.name);
        let shared = Shared::new(&self.settings, tls.map(Arc::new), metrics.clone());
        let connections = self.settings.http.max_connections;
        let reload_interval = self.settings.tls.reload_interval;
        Ok(Listener { name: port.name, socket: listener, metrics, shared, connections, reload_interval })
    }

    fn certificates(&self, port: &Port) -> Result<Option<Certificates>, TlsError> {
        let tls = &self.settings.tls;
        // Probes and scrapers show no certificate; what changes something on the ops port asks for a token.
        let (wanted, client_ca) =
            if port.is_ops { (tls.ops, Path::new("")) } else { (true, tls.client_ca.as_path()) };
        let metrics = self.metrics.of_tls(port.name);
        if !wanted || tls.cert.as_os_str().is_empty() {
            return Ok(None);
        }
        Certificates::read(port.name, tls, client_ca, metrics).map(Some)
    }
}

/// A bound port.
#[derive(Debug)]
pub struct Listener {
    name: &'static str,
    socket: TcpListener,
    metrics: ListenerMetrics,
    shared: Shared,
    connections: usize,
    reload_interval: Duration,
}

impl Listener {
    /// Its address; the real port where 0 was asked for.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// `https` where it speaks TLS, else `http`.
    pub fn scheme(&self) -> &'static str {
        if self.shared.certificates().is_some() { "https" } else { "http" }
    }

    /// Serves `router` until `shutdown` is cancelled. Then no connection is accepted any more, idle
    /// ones are closed, and requests in flight get at most `grace` to finish.
    ///
    /// Returns whether all of them finished. Those that did not run on until the runtime ends.
    pub async fn serve(self, router: Router, shutdown: CancellationToken, grace: Duration) -> bool {
        let tasks = TaskTracker::new();
        let reloading = reload(self.shared.certificates().cloned(), self.reload_interval);
        tokio::select! {
            () = self.accept(router, &shutdown, &tasks) => {}
            never = reloading => match never {},
        }
        tasks.close();
        if tokio::time::timeout(grace, tasks.wait()).await.is_ok() {
            return true;
        }
        tracing::warn!(grace_ms = grace.as_millis() as u64, "connections still open at shutdown");
        false
    }

    /// Accepts connections until shutdown; then the socket is closed.
    async fn accept(self, router: Router, shutdown: &CancellationToken, tasks: &TaskTracker) {
        let slots = Arc::new(Semaphore::new(self.connections));
        let service = Arc::new(connection::Served::new(self.shared.clone(), router.with_state(())));
        let (full, failed) = (Throttle::default(), Throttle::default());
        let mut backoff = ACCEPT_BACKOFF_MIN;
        loop {
            let next = async {
                let slot = self.slot(&slots, &full).await;
                (slot, self.socket.accept().await)
            };
            let Some((slot, accepted)) = shutdown.run_until_cancelled(next).await else { return };
            match accepted {
                Ok((stream, peer)) => {
                    backoff = ACCEPT_BACKOFF_MIN;
                    let open = Open::new(&self.metrics, slot);
                    let served = connection::run(Arc::clone(&service), stream, peer, shutdown.clone());
                    tasks.spawn(async move {
                        served.await;
                        drop(open);
                    });
                }
                // The client was gone before its turn.
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    self.metrics.accept_errors.inc();
                    if let Some(left_out) = failed.due() {
                        tracing::error!(listener = self.name, %error, left_out, "connections cannot be accepted");
                    }
                    // Most likely there are no file descriptors left; some come back with time.
                    if shutdown.run_until_cancelled(tokio::time::sleep(backoff)).await.is_none() {
                        return;
                    }
                    backoff = (backoff * 2).min(ACCEPT_BACKOFF_MAX);
                }
            }
        }
    }

    /// Room for one more connection. While there is none, clients wait in the system's queue.
    async fn slot(&self, slots: &Arc<Semaphore>, full: &Throttle) -> OwnedSemaphorePermit {
        if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
            return slot;
        }
        self.metrics.full.inc();
        if let Some(left_out) = full.due() {
            tracing::warn!(
                listener = self.name,
                max_connections = self.connections,
                left_out,
                "as many connections as http.max_connections allows are open; further clients wait"
            );
        }
        Arc::clone(slots).acquire_owned().await.expect("nobody closes the semaphore")
    }
}

/// Looks for renewed certificates, so that they are known also while nobody connects.
async fn reload(certificates: Option<Arc<Certificates>>, interval: Duration) -> Infallible {
    let Some(certificates) = certificates else { return std::future::pending().await };
    loop {
        tokio::time::sleep(interval).await;
        let certificates = Arc::clone(&certificates);
        // The files may lie on a volume that is slow. A panic in there would be logged, and changes nothing here.
        _ = tokio::task::spawn_blocking(move || certificates.look(Duration::ZERO)).await;
    }
}

/// Keeps count of a connection while it is open.
struct Open {
    metrics: ListenerMetrics,
    _slot: OwnedSemaphorePermit,
}

impl Open {
    fn new(metrics: &ListenerMetrics, slot: OwnedSemaphorePermit) -> Self {
        metrics.accepted.inc();
        metrics.open.inc();
        Self { metrics: metrics.clone(), _slot: slot }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.metrics.open.dec();
    }
}

/// Whether a failed accept is about one client and says nothing of the next (accept(2)).
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
