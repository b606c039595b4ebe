//! Events, posted to one producer-api by clients that each keep a connection open.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use testkit::{RedisServer, free_port};
use tokio::task::JoinSet;

use crate::{
    ratios::{Cost, Used},
    variant::{PATIENCE, Running, Variant, cpu_of},
};

const TYPES: [&str; 4] = ["order.placed", "order.paid", "order.shipped", "order.cancelled"];

/// Posts so many events, `size` in each request, as fast as the answers come.
pub(crate) async fn post(variant: &Variant, events: u32, size: u32, clients: u32) -> anyhow::Result<Cost> {
    let redis = RedisServer::start().await;
    let (listen, ops) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let settings = [
        ("ORDERFLOW__REDIS__URL", redis.url()),
        ("ORDERFLOW__PRODUCER__LISTEN", listen.clone()),
        ("ORDERFLOW__PRODUCER__OPS_LISTEN", ops.clone()),
    ];
    let mut service = variant.start("producer-api", &settings)?;
    ready(&mut service, &ops).await?;
    let url = format!("http://{listen}/v1/events");
    let bodies = bodies(events, size);
    let share = bodies.len().div_ceil(clients as usize);
    let used = |service: &Running| anyhow::Ok(Used { service: service.cpu()?, redis: cpu_of(redis.pid())? });
    let (before, began) = (used(&service)?, Instant::now());
    let mut posting = JoinSet::new();
    for share in bodies.chunks(share) {
        posting.spawn(client(url.clone(), share.to_vec()));
    }
    while let Some(ended) = posting.join_next().await {
        ended??;
    }
    let cost = Cost { wall: began.elapsed(), used: used(&service)?.since(before) };
    let mut connection = redis.connection().await;
    let stored: u32 = redis::cmd("XLEN").arg("events:orders").query_async(&mut connection).await?;
    ensure!(stored == events, "{stored} of {events} events are in the stream");
    service.stop().await?;
    Ok(cost)
}

async fn ready(service: &mut Running, ops: &str) -> anyhow::Result<()> {
    let (url, began) = (format!("http://{ops}/readyz"), Instant::now());
    loop {
        service.alive()?;
        let answer = reqwest::get(&url).await.and_then(reqwest::Response::error_for_status);
        let Err(error) = answer else { return Ok(()) };
        ensure!(began.elapsed() < PATIENCE, "producer-api is not ready: {error}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// The bodies of the requests, made beforehand: the clients share the machine with what is measured.
fn bodies(events: u32, size: u32) -> Vec<String> {
    let event = |n: u32| {
        json!({
            "type": TYPES[n as usize % TYPES.len()], "order_id": format!("o-{}", n / 4),
            "customer": format!("c-{}", n % 500), "amount": "12.50",
        })
    };
    let body = |first: u32| match size {
        1 => event(first).to_string(),
        _ => (first..events.min(first + size)).map(event).collect::<Value>().to_string(),
    };
    (0..events).step_by(size as usize).map(body).collect()
}

async fn client(url: String, bodies: Vec<String>) -> anyhow::Result<()> {
    let http = reqwest::Client::builder().pool_max_idle_per_host(1).timeout(PATIENCE).build()?;
    for body in bodies {
        let request = http.post(&url).header("content-type", "application/json").body(body);
        let answer = request.send().await.context("posting")?;
        let status = answer.status();
        // Read to its end, or the connection could not be used again.
        let text = answer.text().await?;
        ensure!(status == 201, "{status}: {text}");
    }
    Ok(())
}
