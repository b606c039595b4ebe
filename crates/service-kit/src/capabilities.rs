//! What the server can do, as this process found out: kept up to date, counted, and served at `/capabilities`.

use std::{convert::Infallible, time::Duration};

use axum::{Json, Router, extract::State, routing::get};
use prometheus::{IntGaugeVec, Opts, Registry};
use serde_json::{Value, json};
use stream_core::{Availability, Capabilities, Capability, Connector, EventStream, ServerInfo};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

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
        // The server is told of at every look; that alone is no reason.
        let mut retry_at: Option<Instant> = None;
        loop {
            let current = server.borrow_and_update().clone();
            let is_another = current.as_ref().map(identity) != probed.as_ref().map(identity);
            let retry = retry_at.is_some_and(|at| at <= Instant::now());
            if let Some(info) = current.filter(|_| is_another || retry) {
                match connector.trials() {
                    Ok(connection) => {
                        let stream = EventStream::new(connection, stream.key().clone());
                        self.set(&info, Capabilities::probe(&stream).await, is_another);
                        probed = Some(info);
                    }
                    Err(error) => tracing::warn!(%error, "the server's capabilities cannot be probed"),
                }
                let has_unknown = self.found.borrow().capabilities.has_unknown();
                retry_at = has_unknown.then(|| Instant::now() + RETRY_INTERVAL);
            }
            tokio::select! {
                changed = server.changed() => if changed.is_err() { std::future::pending().await },
                () = sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => {}
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

#[cfg(test)]
mod tests {
    use stream_core::{ConnectSettings, ErrorKind, StreamKey};
    use testkit::{RedisServer, eventually};

    use super::*;

    const SOON: Duration = Duration::from_secs(15);

    struct Bench {
        server: RedisServer,
        connector: Connector,
        capabilities: ServerCapabilities,
        /// What the watch on the server tells.
        seen: watch::Sender<Option<ServerInfo>>,
    }

    impl Bench {
        async fn start() -> Self {
            let server = RedisServer::start().await;
            let settings = ConnectSettings { url: server.url(), ..ConnectSettings::default() };
            let connector = Connector::new(settings).unwrap();
            let key = StreamKey::new(server.unique_stream("orders")).unwrap();
            let stream = EventStream::new(connector.commands().unwrap(), key);
            let capabilities = ServerCapabilities::register(&Registry::new()).unwrap();
            let (seen, server_seen) = watch::channel(None);
            let (kept, by) = (capabilities.clone(), connector.clone());
            tokio::spawn(async move { kept.keep(&by, &stream, server_seen).await });
            Self { server, connector, capabilities, seen }
        }

        async fn info(&self) -> ServerInfo {
            ServerInfo::ask(&self.connector.commands().unwrap()).await.unwrap()
        }

        /// Tells that the server was looked at, and waits until it has been probed.
        async fn probed(&self, info: ServerInfo) {
            let run_id = info.run_id.clone();
            self.seen.send_replace(Some(info));
            eventually(SOON, "the server is probed", async || {
                let found = self.capabilities.found.borrow();
                found.server.as_ref().is_some_and(|server| server.run_id == run_id).then_some(())
            })
            .await;
        }

        /// Each probe ends with one UNLINK.
        async fn probes(&self) -> usize {
            let mut connection = self.server.connection().await;
            let stats: String =
                redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.unwrap();
            let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_unlink:calls="));
            calls.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0)
        }
    }

    #[tokio::test]
    async fn what_could_not_be_tried_is_not_tried_again_at_each_look() {
        let bench = Bench::start().await;
        let mut connection = bench.server.connection().await;
        let full = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(1).to_owned();
        let () = full.query_async(&mut connection).await.unwrap();
        let info = bench.info().await;
        bench.probed(info.clone()).await;
        assert!(bench.capabilities.current().has_unknown());
        for _ in 0..3 {
            bench.seen.send_replace(Some(info.clone()));
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        }
        bench.probed(ServerInfo { run_id: "another".to_owned(), ..info }).await;
        assert_eq!(bench.probes().await, 2, "the first server and the other one");
    }

    #[tokio::test]
    async fn what_a_server_does_not_know_is_no_failed_operation() {
        let bench = Bench::start().await;
        bench.probed(bench.info().await).await;
        let errors = bench.connector.errors();
        for kind in ErrorKind::ALL {
            assert_eq!(errors.with_label_values(&[kind.label()]).get(), 0, "{kind:?}");
        }
    }
}
