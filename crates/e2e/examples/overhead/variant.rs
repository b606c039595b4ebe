//! [`Variant`]: binaries and their environment; [`Running`]: one of them at work.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

/// How long a service may take to be ready, and to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What is compared.
#[derive(Debug)]
pub(crate) struct Variant {
    directory: PathBuf,
    environment: Vec<(String, String)>,
}

impl Variant {
    pub(crate) fn new(directory: &Path, environment: &[String]) -> anyhow::Result<Self> {
        ensure!(directory.is_dir(), "{} is not a directory", directory.display());
        let pairs = environment.iter().map(|pair| {
            let (key, value) = pair.split_once('=').with_context(|| format!("{pair} is not KEY=VALUE"))?;
            Ok((key.to_owned(), value.to_owned()))
        });
        Ok(Self { directory: directory.to_owned(), environment: pairs.collect::<anyhow::Result<_>>()? })
    }

    /// Starts a program with these settings; the variant's own win.
    pub(crate) fn start(&self, program: &str, settings: &[(&str, String)]) -> anyhow::Result<Running> {
        let path = self.directory.join(program);
        let child = Command::new(&path)
            .env_remove("REDIS_URL")
            .env_remove("RUST_LOG")
            .env("ORDERFLOW__LOG__FILTER", "error")
            .envs(settings.iter().map(|(key, value)| (key, value)))
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", path.display()))?;
        Ok(Running { child, program: program.to_owned() })
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.directory.display())?;
        self.environment.iter().try_for_each(|(key, value)| write!(f, " {key}={value}"))
    }
}

/// A service at work. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    program: String,
}

impl Running {
    fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("{} has ended", self.program))
    }

    /// The processor time that it has used so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(self.pid()?)
    }

    /// An error once it has ended by itself.
    pub(crate) fn alive(&mut self) -> anyhow::Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "{} ended by itself: {ended:?}", self.program);
        Ok(())
    }

    /// Stops it as an operator would.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.pid()?.cast_signed()), Signal::SIGTERM)?;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.with_context(|| format!("{} did not end within {PATIENCE:?}", self.program))??;
        ensure!(status.success(), "{}: {status}", self.program);
        Ok(())
    }
}

/// The processor time that the threads of a process have used so far, those that have ended not counted.
pub(crate) fn cpu_of(pid: u32) -> anyhow::Result<Duration> {
    let tasks = format!("/proc/{pid}/task");
    let mut ns = 0;
    for task in fs::read_dir(&tasks).with_context(|| format!("reading {tasks}"))? {
        // Time on the processor, in ns, is the first figure (Linux, Documentation/scheduler/sched-stats.rst).
        let path = task?.path().join("schedstat");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let first = text.split_whitespace().next().and_then(|figure| figure.parse::<u64>().ok());
        ns += first.with_context(|| format!("{}: {text}", path.display()))?;
    }
    Ok(Duration::from_nanos(ns))
}
