//! Runs a service from telemetry to the end of its drain.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::{Context, Service};
use crate::auth::{Authenticator, Startup};
use crate::config::Settings;
use crate::http::{Listeners, Port};
use crate::ops::{self, Condition, OpsRoutes, Readiness};
use crate::{
    admin, shutdown,
    telemetry::{self, LogFilter},
    trace::{self, SpanCounts},
};

/// Longest wait for a scrape or probe in flight, and for blocking tasks, after the service ended.
const END_GRACE: Duration = Duration::from_secs(1);

/// Runs the service; whether it ended without an error. An error is one line in the log.
pub(super) fn run<F, Fut>(service: &Service, settings: Settings, startup: Startup, run: F) -> bool
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let spans = match SpanCounts::new() {
        Ok(spans) => spans,
        Err(error) => return cannot_start(service, &error),
    };
    // Before the log, which spans get a part of, and before the runtime, which the exporter must not block.
    let traces = trace::start(service.name, service.version, &settings.stream.key, &spans);
    let rust_log = std::env::var("RUST_LOG").ok();
    let log = match telemetry::init(service.name, &settings.log, rust_log.as_deref()) {
        Ok(log) => log,
        Err(error) => return cannot_start(service, &error),
    };
    match traces {
        Ok(None) => {}
        Ok(Some(endpoint)) => tracing::info!(endpoint, "traces are on"),
        Err(error) => tracing::error!(%error, "traces stay off"),
    }
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")
        .and_then(|runtime| {
            let result = runtime.block_on(supervise(service, settings, startup, &log, &spans, run));
            runtime.shutdown_timeout(END_GRACE);
            result
        });
    trace::stop();
    match result {
        Ok(()) => tracing::info!("stopped"),
        Err(ref error) => tracing::error!(error = format!("{error:#}"), "failed"),
    }
    result.is_ok()
}

fn cannot_start(service: &Service, error: &dyn std::error::Error) -> bool {
    _ = writeln!(io::stderr(), "{}: {error}", service.name);
    false
}

async fn supervise<F, Fut>(
    service: &Service,
    settings: Settings,
    startup: Startup,
    log: &LogFilter,
    spans: &SpanCounts,
    run: F,
) -> anyhow::Result<()>
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let shutdown = shutdown::on_signals().context("cannot listen for signals")?;
    let registry = Registry::new();
    telemetry::register_process_metrics(&registry, service.name, service.version)
        .and_then(|()| registry.register(Box::new(spans.collector())))
        .context("cannot register the process metrics")?;
    let auth = Authenticator::new(&startup, &registry).context("cannot register the metrics of API keys")?;
    let readiness = Readiness::new([Condition::Redis]);
    let routes = OpsRoutes::default();
    routes.mount(admin::log_router(log.clone(), &settings.admin, &auth));

    let settings = Arc::new(settings);
    let listeners = Listeners::register(Arc::clone(&settings), &registry)
        .context("cannot register the metrics of the ports")?;
    let port = Port::ops((service.ops_listen)(&settings), service.ops_listen_key);
    let listener = listeners.bind(port).await?;
    let ops_addr = listener.local_addr().context("the ops port has no address")?;
    tracing::info!(
        version = service.version,
        revision = telemetry::REVISION,
        %ops_addr,
        keys_required = auth.is_required(),
        "starting"
    );
    let ops_router = ops::router(service.name, registry.clone(), readiness.clone(), routes.clone());
    // The ops port outlives the drain, so that `/readyz` can say "draining" throughout.
    let ended = CancellationToken::new();
    let ops_server = tokio::spawn(listener.serve(ops_router, ended.clone(), END_GRACE));
    tokio::spawn({
        let (shutdown, readiness) = (shutdown.clone(), readiness.clone());
        async move {
            shutdown.cancelled().await;
            readiness.draining();
        }
    });

    tokio::spawn(startup.watch(auth.clone(), shutdown.clone()));

    let context =
        Context { settings, registry, readiness: readiness.clone(), listeners, ops: routes, auth, shutdown };
    // A task of its own, so that a panic is an error like any other.
    let result = match tokio::spawn(run(context)).await {
        Ok(result) => result,
        Err(error) => Err(error).context("the service panicked"),
    };
    readiness.draining();
    ended.cancel();
    ops_server.await.context("the ops server panicked")?;
    result
}
