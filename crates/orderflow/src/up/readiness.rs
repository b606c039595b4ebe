//! Asks the services whether they are ready.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use serde::Deserialize;

use service_kit::{config::Tls, http::dialable, http_client};

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
pub(super) struct Prober {
    http: reqwest::Client,
    scheme: &'static str,
}

impl Prober {
    pub(super) fn new(tls: &Tls) -> anyhow::Result<Self> {
        let http = http_client::builder_for_own_ops(tls)?.timeout(TIMEOUT).build();
        Ok(Self { http: http.context("cannot set up HTTP")?, scheme: tls.ops_scheme() })
    }

    /// Whether the service of this name is ready at this ops address, or why not.
    pub(super) async fn ask(&self, name: &str, ops: SocketAddr) -> Result<(), String> {
        let url = format!("{}://{}/readyz", self.scheme, dialable(ops));
        // The cause of a failure is of no interest while the service starts.
        let answer = self.http.get(&url).send().await.map_err(|_| "does not answer yet".to_owned())?;
        let answer: Answer = answer.json().await.map_err(|_| format!("{url} is something else"))?;
        if answer.service != name {
            return Err(format!("{url} is {}", answer.service));
        }
        if answer.ready { Ok(()) } else { Err(answer.reasons.join(", ")) }
    }
}
