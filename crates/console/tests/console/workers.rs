//! Workers in the test's own process, each with its levers at a socket of its own, under a host name of its own.

use std::time::Duration;

use prometheus::Registry;
use service_kit::{
    Settings, admin,
    auth::Authenticator,
    config::Secret,
    http::{Listeners, Port},
};
use stream_core::{Delivery, Handler, Outcome, Worker, WorkerSettings};
use tokio_util::sync::CancellationToken;

use crate::bench::{ADMIN_TOKEN, Bench};

/// Does what the entry's field `does` says.
struct Obeying;

impl Handler for Obeying {
    async fn handle(&self, delivery: &Delivery) -> Outcome {
        let does = delivery.fields.get("does").map(|does| String::from_utf8_lossy(does).into_owned());
        match does.as_deref().unwrap_or_default() {
            "fail" => Outcome::Retry { reason: "it was told to".to_owned(), after: None },
            "wait" => {
                let after = Some(Duration::from_mins(10));
                Outcome::Retry { reason: "not yet".to_owned(), after }
            }
            "die" => Outcome::DeadLetter { reason: "told to <die>".to_owned() },
            "hang" => std::future::pending().await,
            _ => Outcome::Ack,
        }
    }
}

/// A worker that runs until it is stopped or dropped.
pub(crate) struct TestWorker {
    pub(crate) id: String,
    pub(crate) levers: CancellationToken,
    stop: CancellationToken,
}

impl TestWorker {
    /// A worker of `group` on the host `host` with these consumers, automatic claiming off, faults allowed.
    pub(crate) async fn start(bench: &Bench, group: &str, host: &str, consumers: &[&str]) -> Self {
        Self::with(bench, group, host, consumers, |_| {}).await
    }

    pub(crate) async fn with(
        bench: &Bench,
        group: &str,
        host: &str,
        consumers: &[&str],
        change: impl FnOnce(&mut WorkerSettings),
    ) -> Self {
        let port = Port::ops("127.0.0.1:0".parse().unwrap(), "x");
        let listener = Listeners::default().bind(port).await.unwrap();
        let mut settings = WorkerSettings {
            consumers: consumers.iter().map(|&name| name.to_owned()).collect(),
            host: host.to_owned(),
            advertise: listener.local_addr().unwrap().to_string(),
            block: Duration::from_millis(100),
            claim_min_idle: Duration::from_millis(300),
            claim_auto: false,
            fault_injection: true,
            retry_base: Duration::from_millis(10),
            retry_cap: Duration::from_millis(20),
            lease_ttl: Duration::from_secs(1),
            lease_renew_interval: Duration::from_millis(100),
            drain_timeout: Duration::from_secs(2),
            ..WorkerSettings::default()
        };
        change(&mut settings);
        let worker =
            Worker::new(bench.connector.clone(), bench.stream.clone(), group, settings, &Registry::new())
                .unwrap();
        let mut config = Settings::default().admin;
        config.token = Secret::new(ADMIN_TOKEN);
        let keys = Authenticator::open(&Registry::new()).unwrap();
        let router = admin::router(worker.control(), &config, &keys);
        let mut ready = worker.consumers_ready();
        let (stop, levers) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(worker.run_handler(Obeying, stop.clone()));
        ready.wait_for(|ready| ready.is_ready()).await.unwrap();
        tokio::spawn(listener.serve(router, levers.clone(), Duration::ZERO));
        Self { id: format!("{host}/{}", std::process::id()), levers, stop }
    }

    /// Makes its levers unreachable.
    pub(crate) fn hide(&self) {
        self.levers.cancel();
    }
}

impl Drop for TestWorker {
    fn drop(&mut self) {
        self.stop.cancel();
        self.levers.cancel();
    }
}
