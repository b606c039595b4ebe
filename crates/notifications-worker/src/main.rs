//! notifications-worker: consumer group `notifications`, a message for every order event.

mod channel;
mod handler;
mod metrics;
mod template;

use std::process::ExitCode;

use handler::NotificationHandler;
use metrics::NotificationMetrics;
use service_kit::{Context, Redis, Service, service_main, worker};
use template::Templates;

/// The consumer group that this service is.
const GROUP: &str = "notifications";

fn main() -> ExitCode {
    let service = Service {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        about: env!("CARGO_PKG_DESCRIPTION"),
        ops_listen_key: "notifications.ops_listen",
        ops_listen: |settings| settings.notifications.ops_listen,
        public_listen: None,
    };
    service_main(&service, run)
}

async fn run(context: Context) -> anyhow::Result<()> {
    let settings = &context.settings.notifications;
    let templates = Templates::new(&settings.templates)?;
    let metrics = NotificationMetrics::register(&context.registry, &settings.channels)?;
    let handler = NotificationHandler::new(templates, channel::build(&settings.channels), metrics);

    let redis = Redis::open(&context)?;
    let mut runtime = worker::settings(&context.settings, settings.ops_listen);
    // Messages about one order go out in the order in which its events came.
    runtime.ordering_field = Some("order_id".to_owned());
    let worker = worker::build(&context, &redis, GROUP, runtime)?;
    let drained = redis
        .watched(&context, async { Ok(worker.run_handler(handler, context.shutdown.clone()).await?) })
        .await?;
    tracing::info!(
        finished = drained.finished,
        released = drained.released,
        abandoned = drained.abandoned,
        "drained"
    );
    Ok(())
}
