//! notifications-worker: consumer group `notifications`, a message for every order event.

mod breaker;
mod channel;
mod dispatch;
mod handler;
mod lane;
mod memory;
mod message;
mod metrics;
mod plain;
mod ssrf;
mod template;

use std::process::ExitCode;

use dispatch::Dispatcher;
use handler::NotificationHandler;
use memory::Memory;
use metrics::NotificationMetrics;
use service_kit::{Context, Redis, Service, config::Channel, service_main, worker};
use stream_core::SentMarks;
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
    let templates = Templates::new(&settings.templates, &settings.templates_dir)?;
    let channels = channel::build(&context.settings)?;
    let metrics =
        NotificationMetrics::register(&context.registry, channels.iter().map(|channel| channel.name()))?;
    let lanes = lane::build(channels, &context.settings, &metrics);

    let redis = Redis::open(&context)?;
    let mut runtime = worker::settings(&context.settings, settings.ops_listen);
    // Messages about one order go out in the order in which its events came.
    runtime.ordering_field = Some("order_id".to_owned());
    let marks = SentMarks::new(&redis.stream, settings.sent_ttl);
    let dispatcher = Dispatcher::new(lanes, marks, Memory::new(), runtime.max_deliveries, metrics.clone());
    let wants_mail = settings.channels.contains(&Channel::Smtp);
    let handler =
        NotificationHandler::new(templates, dispatcher, &context.settings.stream.key, wants_mail, metrics);
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
