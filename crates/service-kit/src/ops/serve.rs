//! Serves a router until shutdown, then lets open connections end within a bound.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves `router` until `shutdown` is cancelled. Then no connection is accepted any more, idle
/// ones are closed, and requests in flight get at most `grace` to finish.
///
/// Returns whether all of them finished. Those that did not run on until the runtime ends.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    grace: Duration,
) -> bool {
    let signal = shutdown.clone().cancelled_owned();
    // Who asks can be told apart by their address.
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(signal);
    let overrun = async {
        shutdown.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        // The server retries its own accept errors and ends only after `shutdown`.
        _ = server => true,
        () = overrun => {
            tracing::warn!(grace_ms = grace.as_millis() as u64, "connections still open at shutdown");
            false
        }
    }
}
