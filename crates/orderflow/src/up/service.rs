//! The services: what there is to run, and one of them as a child process.

use std::{
    ffi::OsString,
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::Path,
    pin::pin,
    process::{ExitStatus, Stdio},
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use service_kit::Settings;
use tokio::{process::Child, task::JoinHandle, time::timeout};

use super::{command_line::TOKEN_FILE_VARIABLE, log::LogLines};

/// How long the last lines of a process that ended may take to be read.
const LAST_LINES: Duration = Duration::from_millis(500);

/// An address that a service listens on, with its setting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listen {
    pub(super) key: &'static str,
    pub(super) addr: fn(&Settings) -> SocketAddr,
}

/// A service that `orderflow up` runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServiceSpec {
    /// Name of the binary.
    pub(super) name: &'static str,
    /// Its public API, if it has one.
    pub(super) api: Option<Listen>,
    /// Where it serves health and metrics.
    pub(super) ops: Listen,
    /// The names of its consumers in the guide's demo.
    pub(super) demo_names: Option<&'static str>,
}

/// The service that asks others, and has to be told where they are.
pub(super) const CONSOLE: &str = "console";

/// Everything that `orderflow up` runs beside Redis.
pub(super) const SERVICES: [ServiceSpec; 5] = [
    ServiceSpec {
        name: "producer-api",
        api: Some(Listen { key: "producer.listen", addr: |settings| settings.producer.listen }),
        ops: Listen { key: "producer.ops_listen", addr: |settings| settings.producer.ops_listen },
        demo_names: None,
    },
    ServiceSpec {
        name: "notifications-worker",
        api: None,
        ops: Listen { key: "notifications.ops_listen", addr: |settings| settings.notifications.ops_listen },
        demo_names: Some("worker-a,worker-b"),
    },
    ServiceSpec {
        name: "analytics-worker",
        api: Some(Listen { key: "analytics.listen", addr: |settings| settings.analytics.listen }),
        ops: Listen { key: "analytics.ops_listen", addr: |settings| settings.analytics.ops_listen },
        demo_names: Some("worker-c"),
    },
    ServiceSpec {
        name: "reaper",
        api: None,
        ops: Listen { key: "reaper.ops_listen", addr: |settings| settings.reaper.ops_listen },
        demo_names: None,
    },
    ServiceSpec {
        name: CONSOLE,
        api: Some(Listen { key: "console.listen", addr: |settings| settings.console.listen }),
        ops: Listen { key: "console.ops_listen", addr: |settings| settings.console.ops_listen },
        demo_names: None,
    },
];

/// A service as a child process.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) spec: ServiceSpec,
    child: Child,
    log: Vec<JoinHandle<()>>,
    ended: bool,
}

impl Service {
    /// Starts it with the environment of this process, and with `redis_url` and the file of the admin token unless they
    /// are `None`.
    pub(super) fn start(
        spec: ServiceSpec,
        program: &Path,
        argv: &[OsString],
        redis_url: Option<&str>,
        token_file: Option<&Path>,
        lines: &LogLines,
    ) -> anyhow::Result<Self> {
        let mut command = std::process::Command::new(program);
        command.args(argv).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(url) = redis_url {
            // The two variables exclude each other.
            command.env("ORDERFLOW__REDIS__URL", url).env_remove("ORDERFLOW__REDIS__URL__FILE");
        }
        if let Some(file) = token_file {
            // A file rather than the token: the line that starts the service by hand is the same, and no secret.
            command.env(TOKEN_FILE_VARIABLE, file).env_remove("ORDERFLOW__ADMIN__TOKEN");
        }
        // Of its own, so that Ctrl-C in the terminal reaches it once, from us, and before Redis.
        command.process_group(0);
        let mut child = tokio::process::Command::from(command)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let log = [
            child.stdout.take().map(|stdout| lines.clone().pump(stdout)),
            child.stderr.take().map(|stderr| lines.clone().pump(stderr)),
        ];
        Ok(Self { spec, child, log: log.into_iter().flatten().collect(), ended: false })
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub(super) fn runs(&self) -> bool {
        !self.ended
    }

    /// Ready when it has ended, once; may be polled anew at any time.
    pub(super) fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<ExitStatus>> {
        if self.ended {
            return Poll::Pending;
        }
        let end = pin!(self.child.wait()).poll(context);
        self.ended = end.is_ready();
        end
    }

    /// Waits until its last lines have been shown.
    pub(super) async fn last_lines(&mut self) {
        for pump in self.log.drain(..) {
            // Whatever it started may hold the pipe open for ever; a panic was reported by itself.
            _ = timeout(LAST_LINES, pump).await;
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        signal_child(&self.child, signal);
    }
}

/// Sends a signal to a child unless it has ended: until it was waited for its ID is nobody else's.
pub(super) fn signal_child(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // It can fail only if the child ended just now.
        _ = kill(Pid::from_raw(pid), signal);
    }
}
