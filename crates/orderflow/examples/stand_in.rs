//! Stands in for every service in the tests of `orderflow up`: a real process with the real flags and the
//! real ops port, that says what it was told. It is the service that it is called like.
//!
//! `STAND_IN_FAIL=<name>` makes that one fail at start, `STAND_IN_STUCK=<name>` makes it ignore SIGTERM.

use std::{env, path::Path, process::ExitCode};

use service_kit::{Condition, Context, Service, Settings, config::RedisUrl, service_main};

fn main() -> ExitCode {
    let program = env::args().next().unwrap_or_default();
    let name = Path::new(&program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (name, ops_listen_key, ops_listen): (_, _, fn(&Settings) -> _) = match name {
        "producer-api" => ("producer-api", "producer.ops_listen", |settings| settings.producer.ops_listen),
        "notifications-worker" => {
            ("notifications-worker", "notifications.ops_listen", |settings| settings.notifications.ops_listen)
        }
        "analytics-worker" => {
            ("analytics-worker", "analytics.ops_listen", |settings| settings.analytics.ops_listen)
        }
        "console" => ("console", "console.ops_listen", |settings| settings.console.ops_listen),
        _ => ("reaper", "reaper.ops_listen", |settings| settings.reaper.ops_listen),
    };
    let version = env!("CARGO_PKG_VERSION");
    let service =
        Service { name, version, about: "Stands in.", ops_listen_key, ops_listen, public_listen: None };
    service_main(&service, move |context| run(name, context))
}

async fn run(name: &'static str, context: Context) -> anyhow::Result<()> {
    let chosen = |variable: &str| env::var(variable).is_ok_and(|chosen| chosen == name);
    let Settings { redis, stream, worker, admin, .. } = &*context.settings;
    let url = RedisUrl::expose(&redis.url);
    tracing::info!(
        url,
        stream = stream.key,
        names = worker.names.join("+"),
        token = admin.token.expose(),
        "told"
    );
    anyhow::ensure!(!chosen("STAND_IN_FAIL"), "told to fail");
    context.readiness.set(Condition::Redis, Ok::<_, String>(()));
    context.shutdown.cancelled().await;
    if chosen("STAND_IN_STUCK") {
        std::future::pending::<()>().await;
    }
    Ok(())
}
