//! What the server can do, as this process found out: kept up to date, counted, and served at `/capabilities`.

use std::{convert::Infallible, time::Duration};

use axum::{Json, Router, extract::State, routing::get};
use prometheus::{IntGaugeVec, Opts, Registry};
use serde_json::{Value, json};
use stream_core::{Availability, Capabilities, Capability, Connector, EventStream, ServerInfo};
use tokio::{sync::watch, time::sleep};

/// How long after a probe that could not try everything the next one comes.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// The server and what it can do. Clones share it.
#[derive(Debug, Clone)]
pub struct ServerCapabilities {
    found: watch::Sender<Found>,
    gauge: IntGaugeVec,
}

#[derive(Debug, Clone)]
struct Found {
    server: Option<ServerInfo>,
    capabilities: Capabilities,
}

impl ServerCapabilities {
    /// Registers `redis_capability`; every series is there from here on, at 0.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = "1 if the Redis server was seen to have the capability";
        let gauge = IntGaugeVec::new(Opts::new("redis_capability", help), &["capability"])?;
        registry.register(Box::new(gauge.clone()))?;
        let (found, _) = watch::channel(Found { server: None, capabilities: Capabilities::untried() });
        let this = Self { found, gauge };
        this.show(&Capabilities::untried());
        Ok(this)
    }

    /// Whether the capability was seen to work at the server that answers now; `false` until it has been tried.
    pub fn has(&self, capability: Capability) -> bool {
        self.found.borrow().capabilities.has(capability)
    }

    /// What is known now.
    pub fn current(&self) -> Capabilities {
        self.found.borrow().capabilities.clone()
    }

    /// `GET /capabilities`.
    pub(crate) fn routes(&self) -> Router {
        let report = async |State(this): State<Self>| Json(this.report());
        Router::new().route("/capabilities", get(report)).with_state(self.clone())
    }

    fn report(&self) -> Value {
        let found = self.found.borrow();
        let server = found.server.as_ref().map(
            |server| json!({ "product": server.product, "version": server.release, "mode": server.mode }),
        );
        let capability = |(capability, state): (Capability, &Availability)| {
            let reason = match state {
                Availability::Unknown(reason) => Some(reason),
                _ => None,
            };
            let value = json!({ "state": state.label(), "command": capability.command(), "reason": reason });
            (capability.label().to_owned(), value)
        };
        let capabilities: serde_json::Map<_, _> = found.capabilities.iter().map(capability).collect();
        json!({ "server": server, "capabilities": capabilities })
    }

    /// Probes whenever `server` becomes another one, and again later as long as something could not be tried. Never
    /// returns. It has a connection of its own while it probes, so that it delays nobody.
    pub(crate) async fn keep(
        &self,
        connector: &Connector,
        stream: &EventStream,
        mut server: watch::Receiver<Option<ServerInfo>>,
    ) -> Infallible {
        let mut probed: Option<ServerInfo> = None;
        loop {
            let current = server.borrow_and_update().clone();
            let is_another = current.as_ref().map(identity) != probed.as_ref().map(identity);
            let has_unknown = self.found.borrow().capabilities.has_unknown();
            if let Some(info) = current.filter(|_| is_another || has_unknown) {
                match connector.commands() {
                    Ok(connection) => {
                        let stream = EventStream::new(connection, stream.key().clone());
                        self.set(&info, Capabilities::probe(&stream).await, is_another);
                        probed = Some(info);
                    }
                    Err(error) => tracing::warn!(%error, "the server's capabilities cannot be probed"),
                }
            }
            let retry = self.found.borrow().capabilities.has_unknown();
            tokio::select! {
                changed = server.changed() => if changed.is_err() { std::future::pending().await },
                () = sleep(RETRY_INTERVAL), if retry => {}
            }
        }
    }

    fn set(&self, info: &ServerInfo, capabilities: Capabilities, is_another: bool) {
        if is_another || self.found.borrow().capabilities != capabilities {
            let with = |wanted: fn(&Availability) -> bool| {
                let labels = capabilities.iter().filter(|(_, state)| wanted(state));
                labels.map(|(capability, _)| capability.label()).collect::<Vec<_>>().join(" ")
            };
            tracing::info!(
                product = info.product,
                version = info.release,
                mode = info.mode,
                available = with(|state| *state == Availability::Available),
                denied = with(|state| *state == Availability::Denied),
                unknown = with(|state| matches!(state, Availability::Unknown(_))),
                "the server's capabilities were tried"
            );
        }
        self.show(&capabilities);
        self.found.send_replace(Found { server: Some(info.clone()), capabilities });
    }

    fn show(&self, capabilities: &Capabilities) {
        for (capability, state) in capabilities.iter() {
            let gauge = self.gauge.with_label_values(&[capability.label()]);
            gauge.set(i64::from(*state == Availability::Available));
        }
    }
}

/// A server that was replaced, or restarted with another version, is another one.
fn identity(info: &ServerInfo) -> (&str, &str) {
    (&info.run_id, &info.release)
}
