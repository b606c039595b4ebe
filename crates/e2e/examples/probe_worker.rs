//! A worker for tests, of the group `notifications`: it records every start and every end of a handler in Redis, and
//! its entries say how long handling them takes (`sleep_ms`), how often it fails (`failures`), that it is refused
//! (`reject`), or that it kills the process (`kill`).

use std::{process::ExitCode, time::Duration};

use redis::{AsyncCommands as _, aio::MultiplexedConnection};
use service_kit::{Context, Redis, Service, service_main, worker};
use stream_core::{Delivery, Handler, Outcome};

struct Probe(MultiplexedConnection);

impl Handler for Probe {
    async fn handle(&self, delivery: &Delivery) -> Outcome {
        let id = delivery.id.to_string();
        let text = |field| delivery.fields.get(field).map(String::from_utf8_lossy);
        let mut redis = self.0.clone();
        if let Err(error) = redis.rpush::<_, _, ()>("probe:starts", &id).await {
            return Outcome::Retry { reason: error.to_string(), after: None };
        }
        if text("kill").is_some() {
            std::process::abort();
        }
        if let Some(sleep_ms) = text("sleep_ms") {
            tokio::time::sleep(Duration::from_millis(sleep_ms.parse().unwrap_or_default())).await;
        }
        tracing::info!(entry = id, "probed");
        if text("failures").is_some_and(|times| delivery.deliveries <= times.parse().unwrap_or_default()) {
            return Outcome::Retry { reason: "told to fail".to_owned(), after: Some(Duration::ZERO) };
        }
        if text("reject").is_some() {
            return Outcome::DeadLetter { reason: "told to reject".to_owned() };
        }
        match redis.rpush::<_, _, ()>("probe:ends", &id).await {
            Ok(()) => Outcome::Ack,
            Err(error) => Outcome::Retry { reason: error.to_string(), after: None },
        }
    }
}

fn main() -> ExitCode {
    let service = Service {
        name: "probe-worker",
        version: env!("CARGO_PKG_VERSION"),
        about: "A worker for tests",
        ops_listen_key: "notifications.ops_listen",
        ops_listen: |settings| settings.notifications.ops_listen,
        public_listen: None,
    };
    service_main(&service, run)
}

async fn run(context: Context) -> anyhow::Result<()> {
    let settings = &context.settings;
    // Recorded as the default user, whom tests come as: a worker's own may do no more than work.
    let mut records = url::Url::parse(service_kit::config::RedisUrl::expose(&settings.redis.url))?;
    let stripped = records.set_username("").is_ok() && records.set_password(None).is_ok();
    anyhow::ensure!(stripped, "the URL of Redis has no host");
    let records = redis::Client::open(records.as_str())?;
    let probe = Probe(records.get_multiplexed_async_connection().await?);
    let redis = Redis::open(&context)?;
    let runtime = worker::settings(settings, settings.notifications.ops_listen);
    let worker = worker::build(&context, &redis, "notifications", runtime)?;
    let handling = async { Ok(worker.run_handler(probe, context.shutdown.clone()).await?) };
    let drained = redis.watched(&context, handling).await?;
    tracing::info!(?drained, "drained");
    Ok(())
}
