//! Asks the services whether they are ready.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use serde::Deserialize;

use service_kit::ops::dialable;

/// A service that does not answer within this is not ready.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What `/readyz` says.
#[derive(Debug, Deserialize)]
struct Answer {
    ready: bool,
    service: String,
    #[serde(default)]
    reasons: Vec<String>,
}

/// Asks `/readyz`.
#[derive(Debug)]
pub(super) struct Prober(reqwest::Client);

impl Prober {
    pub(super) fn new() -> anyhow::Result<Self> {
        // A proxy in the environment is seldom meant for this machine.
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build();
        client.map(Self).context("cannot set up HTTP")
    }

    /// Whether the service of this name is ready at this ops address, or why not.
    pub(super) async fn ask(&self, name: &str, ops: SocketAddr) -> Result<(), String> {
        let url = format!("http://{}/readyz", dialable(ops));
        // The cause of a failure is of no interest while the service starts.
        let answer = self.0.get(&url).send().await.map_err(|_| "does not answer yet".to_owned())?;
        let answer: Answer = answer.json().await.map_err(|_| format!("{url} is something else"))?;
        if answer.service != name {
            return Err(format!("{url} is {}", answer.service));
        }
        if answer.ready { Ok(()) } else { Err(answer.reasons.join(", ")) }
    }
}
