//! analytics-worker: consumer group `analytics`, exactly-once projections and their query API.

mod api;
mod calendar;
mod keys;
mod projection;
mod queries;

use std::process::ExitCode;

use order_events::EventTypes;
use projection::OrderProjection;
use queries::Source;
use service_kit::{Context, Redis, Service, http::Port, service_main, worker};
use stream_core::EventStream;

/// The consumer group that this service is.
const GROUP: &str = "analytics";

fn main() -> ExitCode {
    let service = Service {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        about: env!("CARGO_PKG_DESCRIPTION"),
        ops_listen_key: "analytics.ops_listen",
        ops_listen: |settings| settings.analytics.ops_listen,
        public_listen: Some(("analytics.listen", |settings| settings.analytics.listen)),
    };
    service_main(&service, run)
}

async fn run(context: Context) -> anyhow::Result<()> {
    let settings = &context.settings.analytics;
    let types = EventTypes::new(context.settings.stream.event_types.clone())?;
    let port = Port::public(settings.listen, "analytics.listen");
    let listener = context.listeners.bind(port).await?;
    let redis = Redis::open(&context)?;

    // A connection of their own: a slow query delays no claim, lease or commit.
    let stream = EventStream::new(redis.connector.commands()?, redis.stream.key().clone());
    let router = api::router(Source::new(stream, &types), settings.query_deadline, &context.auth);
    let projection = OrderProjection::new(types, settings);
    let runtime = worker::settings(&context.settings, settings.ops_listen);
    let worker = worker::build(&context, &redis, GROUP, runtime)?;

    let served = listener.serve(router, context.shutdown.clone(), settings.query_deadline);
    // On the heap: a consumer's state is large, and this is awaited through several layers.
    let consumed = Box::pin(worker.run_projection(projection, settings.batch_max, context.shutdown.clone()));
    let both = async {
        let (_, drained) = tokio::join!(served, async {
            let drained = consumed.await;
            // Without its consumers the process is of no use: the API ends with them.
            context.shutdown.cancel();
            drained
        });
        Ok(drained?)
    };
    let drained = redis.watched(&context, both).await?;
    tracing::info!(
        finished = drained.finished,
        released = drained.released,
        abandoned = drained.abandoned,
        "drained"
    );
    Ok(())
}
