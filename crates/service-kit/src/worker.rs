//! What a worker service needs beside its handler: settings of the runtime, and readiness.

use std::{net::SocketAddr, thread, time::Duration};

use stream_core::{Worker, WorkerError, WorkerHealth, WorkerSettings};
use tokio_util::sync::CancellationToken;

use crate::{Condition, Context, Readiness, Redis, Settings, admin, trace::DeliveryTracer};

/// How often the worker's health is looked at.
const HEALTH_INTERVAL: Duration = Duration::from_millis(500);
/// What fails for longer than this makes the process not ready: a reconnect takes less.
const FAILING_PATIENCE: Duration = Duration::from_secs(3);

/// The runtime's settings for a worker whose ops port is `ops_listen`.
pub fn settings(settings: &Settings, ops_listen: SocketAddr) -> WorkerSettings {
    let worker = &settings.worker;
    let host = host_name();
    WorkerSettings {
        consumers: consumer_names(settings, &host),
        advertise: advertised(&worker.advertise, ops_listen, &host, settings.tls.ops_scheme()),
        host,
        read_count: worker.read_count,
        block: worker.block,
        max_in_flight: worker.max_in_flight,
        concurrency: worker.concurrency,
        handler_timeout: worker.handler_timeout,
        claim_min_idle: worker.claim_min_idle,
        claim_interval: worker.claim_interval,
        claim_auto: worker.claim_auto,
        max_deliveries: worker.max_deliveries,
        retry_base: worker.retry_base,
        retry_factor: worker.retry_factor,
        retry_cap: worker.retry_cap,
        retry_jitter: worker.retry_jitter,
        max_parked: worker.max_parked,
        ordering_field: None,
        fault_injection: settings.admin.fault_injection,
        drain_timeout: worker.drain_timeout,
        lease_ttl: worker.lease_ttl,
        lease_renew_interval: worker.lease_renew_interval,
    }
}

/// A worker of `group`; `/readyz` is true only while every one of its consumers holds its name, and reading and
/// settling have not failed for long. Its levers are under `/admin` on the ops port.
pub fn build(
    context: &Context,
    redis: &Redis,
    group: &str,
    settings: WorkerSettings,
) -> Result<Worker, WorkerError> {
    let worker =
        Worker::new(redis.connector.clone(), redis.stream.clone(), group, settings, &context.registry)?;
    let worker = match DeliveryTracer::of_process() {
        Some(tracer) => worker.with_tracer(tracer),
        None => worker,
    };
    let mut ready = worker.consumers_ready();
    let readiness = context.readiness.clone();
    readiness.set(Condition::Consumers, Err("no consumer has its name yet"));
    tokio::spawn(async move {
        while ready.changed().await.is_ok() {
            let now = *ready.borrow_and_update();
            let state = if now.is_ready() {
                Ok(())
            } else {
                Err(format!("{} of {} consumers have their names", now.ready, now.wanted))
            };
            readiness.set(Condition::Consumers, state);
        }
    });
    tokio::spawn(watch_health(worker.health(), context.readiness.clone(), context.shutdown.clone()));
    context.ops.mount(admin::router(worker.control(), &context.settings.admin, &context.auth));
    Ok(worker)
}

/// Keeps readiness true to whether the consumers can read and settle.
async fn watch_health(health: WorkerHealth, readiness: Readiness, shutdown: CancellationToken) {
    let mut tick = tokio::time::interval(HEALTH_INTERVAL);
    while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        readiness.set(Condition::Other("worker"), health.failing(FAILING_PATIENCE).map_or(Ok(()), Err));
    }
}

/// The ops port as others can reach it: as configured, else as it is bound; where that is every interface, by the
/// host's name, which is what other containers know it by. One that speaks TLS says so.
fn advertised(configured: &str, ops_listen: SocketAddr, host: &str, scheme: &str) -> String {
    let address = if !configured.is_empty() {
        configured.to_owned()
    } else if ops_listen.ip().is_unspecified() {
        format!("{host}:{}", ops_listen.port())
    } else {
        ops_listen.to_string()
    };
    if scheme == "https" && !address.contains("://") { format!("https://{address}") } else { address }
}

/// Configured names, else `<host>-<n>`: stable across restarts of a replica, distinct between replicas.
fn consumer_names(settings: &Settings, host: &str) -> Vec<String> {
    let worker = &settings.worker;
    if !worker.names.is_empty() {
        return worker.names.clone();
    }
    let count = match worker.consumers {
        0 => thread::available_parallelism().map_or(1, usize::from),
        count => count,
    };
    (0..count).map(|index| format!("{host}-{index}")).collect()
}

fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advertised_can_be_reached() {
        let everywhere = "0.0.0.0:9102".parse().unwrap();
        assert_eq!(advertised("", everywhere, "worker-7", "http"), "worker-7:9102");
        assert_eq!(advertised("", "127.0.0.1:9102".parse().unwrap(), "worker-7", "http"), "127.0.0.1:9102");
        assert_eq!(advertised("lb:80", everywhere, "worker-7", "http"), "lb:80");
        assert_eq!(advertised("", everywhere, "worker-7", "https"), "https://worker-7:9102");
        assert_eq!(advertised("lb:80", everywhere, "worker-7", "https"), "https://lb:80");
        assert_eq!(advertised("http://lb:80", everywhere, "worker-7", "https"), "http://lb:80");
    }
}
