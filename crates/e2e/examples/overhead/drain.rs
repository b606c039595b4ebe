//! A backlog, drained by one worker process: from the first delivery to the last ack.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use redis::aio::MultiplexedConnection;
use testkit::{RedisServer, free_port};

use crate::{
    ratios::{Cost, Used},
    variant::{Running, Variant, cpu_of},
};

const STREAM: &str = "events:orders";
const TYPES: [&str; 4] = ["order.placed", "order.paid", "order.shipped", "order.cancelled"];
/// Appended in one pipeline.
const PAGE: u32 = 2_000;
/// How often the group is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// How long one drain may take.
const DRAIN_MAX: Duration = Duration::from_mins(10);

/// A worker, and how its settings are named.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Worker {
    program: &'static str,
    group: &'static str,
    section: &'static str,
}

pub(crate) const NOTIFICATIONS: Worker =
    Worker { program: "notifications-worker", group: "notifications", section: "NOTIFICATIONS" };
pub(crate) const ANALYTICS: Worker =
    Worker { program: "analytics-worker", group: "analytics", section: "ANALYTICS" };

/// Drains so many entries from a server of its own.
pub(crate) async fn drain(variant: &Variant, worker: Worker, entries: u32) -> anyhow::Result<Cost> {
    let redis = RedisServer::start().await;
    let mut connection = redis.connection().await;
    let last = fill(&mut connection, entries).await?;
    let group = ["CREATE", STREAM, worker.group, "0"];
    redis::cmd("XGROUP").arg(&group).query_async::<()>(&mut connection).await?;
    let local = || format!("127.0.0.1:{}", free_port());
    let (ops_listen, listen) =
        (format!("ORDERFLOW__{}__OPS_LISTEN", worker.section), "ORDERFLOW__ANALYTICS__LISTEN");
    let settings = [
        ("ORDERFLOW__REDIS__URL", redis.url()),
        (ops_listen.as_str(), local()),
        (listen, local()),
        ("ORDERFLOW__WORKER__CONSUMERS", "1".to_owned()),
    ];
    let mut service = variant.start(worker.program, &settings)?;
    let cost = watch(&mut service, &redis, worker.group, &last).await;
    let cost = cost.with_context(|| format!("draining with {}", worker.program))?;
    service.stop().await?;
    Ok(cost)
}

/// Appends the entries; the last one's ID.
async fn fill(connection: &mut MultiplexedConnection, entries: u32) -> anyhow::Result<String> {
    let mut last = String::new();
    for page in (0..entries).step_by(PAGE as usize) {
        let mut appends = redis::pipe();
        for n in page..entries.min(page + PAGE) {
            let (order, customer) = (format!("o-{}", n / 4), format!("c-{}", n % 500));
            let fields = [
                ("type", TYPES[n as usize % TYPES.len()]),
                ("order_id", &order),
                ("customer", &customer),
                ("amount", "12.50"),
                ("ts_ms", "1716998413541"),
            ];
            appends.cmd("XADD").arg(STREAM).arg("*").arg(&fields);
        }
        let ids: Vec<String> = appends.query_async(connection).await?;
        last = ids.into_iter().next_back().context("no entry was appended")?;
    }
    Ok(last)
}

async fn watch(service: &mut Running, redis: &RedisServer, group: &str, last: &str) -> anyhow::Result<Cost> {
    let mut connection = redis.connection().await;
    let (began, mut first) = (Instant::now(), None);
    while began.elapsed() < DRAIN_MAX {
        service.alive()?;
        let (delivered, pending) = position(&mut connection, group).await?;
        let used =
            |service: &Running| anyhow::Ok(Used { service: service.cpu()?, redis: cpu_of(redis.pid())? });
        match first {
            None if delivered != "0-0" => first = Some((Instant::now(), used(service)?)),
            Some((since, before)) if delivered == last && pending == "0" => {
                return Ok(Cost { wall: since.elapsed(), used: used(service)?.since(before) });
            }
            _ => {}
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("{group} has not acked everything after {DRAIN_MAX:?}")
}

/// A group's last delivered ID and its number of pending entries.
async fn position(connection: &mut MultiplexedConnection, group: &str) -> anyhow::Result<(String, String)> {
    let groups: Vec<HashMap<String, redis::Value>> =
        redis::cmd("XINFO").arg("GROUPS").arg(STREAM).query_async(connection).await?;
    let text = |info: &HashMap<String, redis::Value>, name: &str| {
        info.get(name).and_then(|value| redis::from_redis_value_ref::<String>(value).ok())
    };
    let info = groups.iter().find(|info| text(info, "name").as_deref() == Some(group));
    let info = info.with_context(|| format!("there is no group {group}"))?;
    text(info, "last-delivered-id")
        .zip(text(info, "pending"))
        .context("XINFO GROUPS lacks what it should have")
}
