//! The service as a whole: what it is built of, and how it ends.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::Router;
use service_kit::{
    Context, Redis,
    admin_client::AdminClient,
    http::{Listener, Port},
};
use stream_core::{EventStream, FeedBounds};
use tokio::sync::Semaphore;

use crate::{
    access::Access,
    app::{App, Shared},
    http,
    live::{Builder, Live},
    metrics::Metrics,
    tail::{Tails, Told},
    upstream::Upstream,
    workers::Workers,
};

/// Bytes of the live tail that are kept for subscribers who are behind.
const TAIL_BYTES: usize = 32 * 1024 * 1024;

/// A console that listens and has not begun to serve.
pub(crate) struct Console {
    listener: Listener,
    router: Router,
    drain_timeout: Duration,
}

impl Console {
    /// Binds the public port. Redis may be away: the page then says so.
    pub(crate) async fn bind(context: &Context, redis: &Redis) -> anyhow::Result<Self> {
        let settings = &context.settings;
        let console = &settings.console;
        let listener = context.listeners.bind(Port::public(console.listen, "console.listen")).await?;
        let addr = listener.local_addr().context("the public port has no address")?;
        tracing::info!(
            %addr, stream = %redis.stream.key(), login = !console.token.is_empty() || context.auth.is_required(), read_only = console.read_only,
            demo = console.demo, "listening"
        );
        let app = app(context, redis)?;
        Ok(Self { listener, router: http::router(app), drain_timeout: settings.worker.drain_timeout })
    }

    /// Serves until shutdown, then finishes the requests in flight; whoever listens is told the end by its connection's.
    pub(crate) async fn serve(self, context: &Context) -> anyhow::Result<()> {
        self.listener.serve(self.router, context.shutdown.clone(), self.drain_timeout).await;
        Ok(())
    }
}

/// What the requests share; nothing is sent to Redis yet.
pub(crate) fn app(context: &Context, redis: &Redis) -> anyhow::Result<App> {
    let settings = &context.settings;
    let console = &settings.console;
    let metrics = Metrics::register(&context.registry, http::route_names())?;
    let workers_token =
        if settings.admin.token.is_empty() { &console.api_key } else { &settings.admin.token };
    let client = AdminClient::new(workers_token, &settings.tls)?;
    let workers = Arc::new(Workers::new(redis.stream.clone(), client));
    // A connection of its own, so that a look delays no lever.
    let looked_at = EventStream::new(redis.connector.commands()?, redis.stream.key().clone());
    let builder = Builder::new(looked_at, Arc::clone(&workers));
    Ok(App::new(Shared {
        stream: redis.stream.clone(),
        access: Access::new(console, context.auth.clone()),
        workers,
        live: Live::start(builder, metrics.clone(), context.shutdown.clone()),
        live_subscribers: Arc::new(Semaphore::new(console.subscribers_max)),
        tails: Tails::new(
            redis.connector.clone(),
            redis.stream.clone(),
            FeedBounds { entries: console.subscriber_buffer, bytes: TAIL_BYTES },
            context.shutdown.clone(),
            |entry| Told::of(&entry),
        ),
        tail_subscribers: Arc::new(Semaphore::new(console.subscribers_max)),
        capabilities: redis.capabilities.clone(),
        producer: Upstream::new(
            &console.producer_url,
            "producer-api",
            "/problems/producer-unreachable",
            console.request_deadline,
            &console.api_key,
            &settings.tls,
        )
        .context("console.producer_url")?,
        analytics: Upstream::new(
            &console.analytics_url,
            "analytics-worker",
            "/problems/analytics-unreachable",
            console.request_deadline,
            &console.api_key,
            &settings.tls,
        )
        .context("console.analytics_url")?,
        resetting: Arc::default(),
        metrics,
        shutdown: context.shutdown.clone(),
        settings: Arc::clone(settings),
    }))
}
