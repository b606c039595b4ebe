//! The smallest service: ready at once, stops when asked; `tests/process.rs` runs it.

use std::process::ExitCode;

use service_kit::{Condition, Context, Service, service_main};

fn main() -> ExitCode {
    let service = Service {
        name: "example",
        version: env!("CARGO_PKG_VERSION"),
        about: "Does nothing, well.",
        ops_listen_key: "reaper.ops_listen",
        ops_listen: |settings| settings.reaper.ops_listen,
        public_listen: None,
    };
    service_main(&service, run)
}

async fn run(context: Context) -> anyhow::Result<()> {
    match context.settings.stream.key.as_str() {
        "fail" => anyhow::bail!("told to fail"),
        "panic" => panic!("told to panic"),
        _ => {}
    }
    context.readiness.set(Condition::Redis, Ok::<_, String>(()));
    context.shutdown.cancelled().await;
    if context.settings.stream.key == "stuck" {
        std::future::pending::<()>().await;
    }
    Ok(())
}
