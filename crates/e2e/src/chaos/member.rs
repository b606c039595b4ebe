//! [`Member`]: one process of the run with a network of its own, and the supervisor that starts it again.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;
use testkit::{Network, TcpProxy, free_port};

use crate::{Role, Service};

/// Timing that makes ten minutes worth an hour: claims, leases and sweeps are quick.
const SETTINGS: [(&str, &str); 12] = [
    ("ORDERFLOW__WORKER__BLOCK", "500ms"),
    ("ORDERFLOW__WORKER__CLAIM_MIN_IDLE", "1s"),
    ("ORDERFLOW__WORKER__CLAIM_INTERVAL", "300ms"),
    ("ORDERFLOW__WORKER__LEASE_TTL", "2s"),
    ("ORDERFLOW__WORKER__LEASE_RENEW_INTERVAL", "400ms"),
    ("ORDERFLOW__WORKER__CONSUMERS", "2"),
    ("ORDERFLOW__REAPER__INTERVAL", "500ms"),
    ("ORDERFLOW__REAPER__LEASE_TTL", "2s"),
    // Guarded: much of what is posted is trimmed during the run, and nothing before both groups have acked it.
    ("ORDERFLOW__RETENTION__AGE", "10s"),
    ("ORDERFLOW__PRODUCER__REQUEST_DEADLINE", "3s"),
    ("ORDERFLOW__LOG__FORMAT", "json"),
    ("ORDERFLOW__LOG__FILTER", "info"),
];

/// How long a service may take to come up while the run is not yet under way.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// A process that is always started again, whatever ends it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) proxy: TcpProxy,
    public_port: u16,
    ops_port: u16,
    settings: Vec<(String, String)>,
    logs: PathBuf,
    incarnations: usize,
    service: Service,
    /// How often it ended although nobody had killed it.
    pub(super) ended_by_itself: usize,
}

impl Member {
    /// Starts the `number`th process of a role, on a network of its own to Redis.
    pub(super) async fn start(role: Role, number: usize, redis_port: u16, logs: &Path) -> Self {
        let name = format!("{}-{number}", role.program());
        let proxy = TcpProxy::to(redis_port).await;
        let (public_port, ops_port) = (free_port(), free_port());
        let mut settings: Vec<(String, String)> =
            SETTINGS.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let section = role.section();
        let mut set = |key: String, value: String| settings.push((key, value));
        set("ORDERFLOW__REDIS__URL".to_owned(), proxy.url());
        set(format!("ORDERFLOW__{section}__OPS_LISTEN"), format!("127.0.0.1:{ops_port}"));
        match role {
            Role::Producer | Role::Analytics => {
                set(format!("ORDERFLOW__{section}__LISTEN"), format!("127.0.0.1:{public_port}"));
            }
            Role::Notifications | Role::Reaper | Role::Console | Role::Probe => {}
        }
        if matches!(role, Role::Notifications | Role::Analytics) {
            set("ORDERFLOW__WORKER__NAMES".to_owned(), format!("{name}-a,{name}-b"));
        }
        let service = spawn(role, &name, 1, &settings, logs, ops_port);
        let logs = logs.to_owned();
        Self {
            name,
            role,
            proxy,
            public_port,
            ops_port,
            settings,
            logs,
            incarnations: 1,
            service,
            ended_by_itself: 0,
        }
    }

    /// A URL of its public port.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.public_port)
    }

    /// Waits until it is ready.
    pub(super) async fn ready(&mut self) {
        self.service.ready_within(READY_WITHIN).await;
    }

    /// Starts it again if it has ended; an end that nobody asked for is counted.
    pub(super) fn supervise(&mut self) {
        if self.service.has_ended().is_some() {
            self.ended_by_itself += 1;
            self.start_again();
        }
    }

    /// Kills it; it stays down until [`Member::start_again`].
    pub(super) async fn kill(&mut self) {
        self.supervise();
        self.service.kill().await;
    }

    pub(super) fn start_again(&mut self) {
        self.incarnations += 1;
        self.service =
            spawn(self.role, &self.name, self.incarnations, &self.settings, &self.logs, self.ops_port);
    }

    /// Stops every thread of it, until [`Member::thaw`].
    pub(super) async fn freeze(&mut self) {
        self.supervise();
        self.service.freeze().await;
    }

    pub(super) fn thaw(&self) {
        self.service.signal(Signal::SIGCONT);
    }

    pub(super) fn network(&self, network: Network) {
        self.proxy.set(network);
    }

    /// Asks it to end (SIGTERM); its exit code, `None` if a signal ended it.
    pub(super) async fn stop(&mut self) -> Option<i32> {
        self.service.signal(Signal::SIGTERM);
        self.service.exit().await.code()
    }
}

fn spawn(
    role: Role,
    name: &str,
    incarnation: usize,
    settings: &[(String, String)],
    logs: &Path,
    ops_port: u16,
) -> Service {
    let log = logs.join(format!("{name}.{incarnation}.log"));
    Service::spawn(role.program(), settings, log, ops_port)
}
