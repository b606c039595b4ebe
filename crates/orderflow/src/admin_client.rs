//! HTTP to the levers of a running worker, at the address that it has registered.

use serde_json::Value;
use service_kit::{
    admin_client::{AdminClient, AdminError},
    config::{Secret, Tls},
};
use stream_core::RegisteredConsumer;

use crate::output::printable;

/// Pulls a lever of a consumer: `POST /admin/consumers/{name}/{lever}`.
pub(crate) async fn pull(
    consumer: &RegisteredConsumer,
    token: &Secret,
    tls: &Tls,
    lever: &str,
    body: &Value,
) -> anyhow::Result<Value> {
    let address = consumer.holder.as_ref().map(|holder| holder.address.as_str()).unwrap_or_default();
    let client = AdminClient::new(token, tls)?;
    let pulled = client.post(address, &["consumers", &consumer.consumer, lever], body).await;
    pulled.map_err(|error| explain(&printable(&consumer.consumer), error))
}

/// Says which consumer it was about, and what to do.
fn explain(name: &str, error: AdminError) -> anyhow::Error {
    match error {
        AdminError::NoAddress => anyhow::anyhow!(
            "the consumer {name} is alive, but its process does not say where it can be reached; set worker.advertise there"
        ),
        AdminError::NoToken { address } => anyhow::anyhow!(
            "the consumer {name} is alive in a process at {address}, which asks for its admin.token; set \
             ORDERFLOW__ADMIN__TOKEN (or ORDERFLOW__ADMIN__TOKEN__FILE) to it"
        ),
        AdminError::Unreachable { address, reason, .. } => anyhow::anyhow!(
            "the worker at {address}, which has the consumer {name}, does not answer: {reason}; if its process has \
             ended, `orderflow consumers` shows it as dead in a moment"
        ),
        AdminError::Refused { address, problem } => anyhow::anyhow!(
            "the worker at {address} answers {}: {}",
            problem.status().as_u16(),
            printable(problem.message())
        ),
        error => anyhow::Error::new(error),
    }
}
