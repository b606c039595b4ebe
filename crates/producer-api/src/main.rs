//! producer-api: takes order events over HTTP, appends them to the stream, and reads them back.

mod admission;
mod app;
mod clock;
mod dedup;
mod filter;
mod group_commit;
mod http;
mod metrics;
mod service;
mod tail;

use std::process::ExitCode;

use service_kit::{Context, Redis, Service, service_main};

use crate::service::ProducerApi;

fn main() -> ExitCode {
    let service = Service {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        about: env!("CARGO_PKG_DESCRIPTION"),
        ops_listen_key: "producer.ops_listen",
        ops_listen: |settings| settings.producer.ops_listen,
        public_listen: Some(("producer.listen", |settings| settings.producer.listen)),
    };
    service_main(&service, run)
}

async fn run(context: Context) -> anyhow::Result<()> {
    let redis = Redis::open(&context)?;
    let producer = ProducerApi::bind(&context, &redis).await?;
    redis.watched(&context, producer.serve(&context)).await
}
