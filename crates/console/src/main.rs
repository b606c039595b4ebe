//! console: what an operator sees of the pipeline and does with it, as a page in the browser and as an HTTP API.

mod access;
mod app;
mod assets;
mod clock;
mod entry_json;
mod guide;
mod http;
mod levers;
mod live;
mod looking;
mod metrics;
mod problems;
mod service;
mod tail;
mod upstream;
mod workers;

use std::process::ExitCode;

use service_kit::{Context, Redis, Service, service_main};

use crate::service::Console;

fn main() -> ExitCode {
    let service = Service {
        name: "console",
        version: env!("CARGO_PKG_VERSION"),
        about: env!("CARGO_PKG_DESCRIPTION"),
        ops_listen_key: "console.ops_listen",
        ops_listen: |settings| settings.console.ops_listen,
        public_listen: Some(("console.listen", |settings| settings.console.listen)),
    };
    service_main(&service, run)
}

async fn run(context: Context) -> anyhow::Result<()> {
    let redis = Redis::open(&context)?;
    let console = Console::bind(&context, &redis).await?;
    redis.watched(&context, console.serve(&context)).await
}
