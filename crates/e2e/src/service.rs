//! [`Service`]: one real binary, running.

use std::{
    fs::File,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testkit::eventually;
use tokio::process::{Child, Command};

use crate::binary;

/// A process of one of the services. Killed when dropped.
#[derive(Debug)]
pub struct Service {
    name: String,
    child: Child,
    log: PathBuf,
    ops_port: u16,
}

/// How long anything that should happen soon may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);

impl Service {
    /// Starts `program` with exactly this environment for its settings; its log goes to `log`.
    ///
    /// # Panics
    ///
    /// If it cannot be started at all.
    pub fn spawn(program: &str, settings: &[(String, String)], log: PathBuf, ops_port: u16) -> Self {
        let file = File::create(&log).expect("the log file can be created");
        let child = Command::new(binary(program))
            .env_remove("REDIS_URL")
            .env_remove("RUST_LOG")
            // Nobody's own collector gets what tests do.
            .env("OTEL_SDK_DISABLED", "false")
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .env_remove("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
            .env_remove("OTEL_TRACES_EXPORTER")
            .envs(settings.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file handle can be cloned"))
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{program} did not start: {error}"));
        Self { name: program.to_owned(), child, log, ops_port }
    }

    /// Waits until `/readyz` says so.
    pub async fn ready(&mut self) {
        self.ready_within(SOON).await;
    }

    /// Waits for so long, at most, until `/readyz` says so.
    pub async fn ready_within(&mut self, deadline: Duration) {
        let url = self.ops_url("/readyz");
        let name = self.name.clone();
        let log = self.log.clone();
        eventually(deadline, &format!("{name} is ready"), async || match reqwest::get(&url).await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(answer.text().await.unwrap_or_default()),
            Err(error) => Err(format!("{error}; its log:\n{}", read(&log))),
        })
        .await;
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().expect("the process is running");
        kill(Pid::from_raw(pid.cast_signed()), signal).expect("its own child can be signalled");
    }

    /// Stops it in the middle of whatever it does (SIGSTOP), and waits until every one of its threads has stopped:
    /// until then one of them could still handle what arrives.
    pub async fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        let tasks = format!("/proc/{}/task", self.child.id().expect("the process is running"));
        eventually(SOON, "every thread has stopped", async || {
            let tasks = std::fs::read_dir(&tasks).map_err(|error| error.to_string())?;
            for task in tasks.filter_map(Result::ok) {
                let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                // The state follows the command, which is in parentheses (proc(5)).
                let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
                if !matches!(state, None | Some('T')) {
                    return Err(stat);
                }
            }
            Ok(())
        })
        .await;
    }

    /// Waits for its end.
    pub async fn exit(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(SOON, self.child.wait()).await;
        let Ok(status) = ended else {
            panic!("{} did not end within {SOON:?}; its log:\n{}", self.name, self.log());
        };
        status.expect("a child can be awaited")
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be looked at")
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("its own child can be killed");
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// The program's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A URL of its ops port.
    pub fn ops_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ops_port)
    }

    /// The value of one series, 0 if there is none.
    pub async fn metric(&self, series: &str) -> f64 {
        let metrics = reqwest::get(self.ops_url("/metrics")).await.expect("metrics are served");
        let text = metrics.text().await.expect("metrics are text");
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.trim().parse().expect("a metric is a number"))
    }
}

fn read(log: &PathBuf) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}
