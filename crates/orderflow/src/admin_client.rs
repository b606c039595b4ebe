//! HTTP to the levers of a running worker, at the address that it has registered.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Method, Url};
use serde_json::Value;
use service_kit::config::Secret;
use stream_core::RegisteredConsumer;

use crate::{address::is_loopback, output::printable};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the worker waits for the outcome of any lever.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Pulls a lever of a consumer: `POST /admin/consumers/{name}/{lever}`.
pub(crate) async fn pull(
    consumer: &RegisteredConsumer,
    token: &Secret,
    lever: &str,
    body: &Value,
) -> anyhow::Result<Value> {
    let name = printable(&consumer.consumer);
    let address = consumer.holder.as_ref().map(|holder| holder.address.as_str()).unwrap_or_default();
    anyhow::ensure!(
        !address.is_empty(),
        "the consumer {name} is alive, but its process does not say where it can be reached; set worker.advertise there"
    );
    anyhow::ensure!(
        !token.is_empty(),
        "the consumer {name} is alive in a process at {address}, which asks for its admin.token; set \
         ORDERFLOW__ADMIN__TOKEN (or ORDERFLOW__ADMIN__TOKEN__FILE) to it"
    );
    let mut url = Url::parse(&format!("http://{address}/admin/consumers")).context("the worker's address")?;
    if let Ok(mut path) = url.path_segments_mut() {
        path.push(&consumer.consumer).push(lever);
    }
    let mut http = reqwest::Client::builder();
    if url.host_str().is_some_and(is_loopback) {
        // http_proxy in the environment is seldom meant for this machine.
        http = http.no_proxy();
    }
    let http =
        http.connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT).build().context("cannot set up HTTP")?;
    let request = http.request(Method::POST, url).bearer_auth(token.expose()).json(body);
    let answer = request.send().await.map_err(|error| {
        anyhow::anyhow!(
            "the worker at {address}, which has the consumer {name}, does not answer: {}",
            cause(&error)
        )
    })?;
    let status = answer.status();
    let text = answer.text().await.context("the worker's answer")?;
    let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if status.is_success() {
        return Ok(answer);
    }
    let why = answer["detail"].as_str().or(answer["title"].as_str()).unwrap_or("no reason given");
    anyhow::bail!("the worker at {address} answers {}: {}", status.as_u16(), printable(why))
}

/// The last cause is what the system said; the ones before it repeat the URL.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
