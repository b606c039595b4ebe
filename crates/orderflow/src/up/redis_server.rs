//! The embedded Redis: a `redis-server` of our own, on loopback, with its data in `.orderflow/`.

use std::{
    ffi::OsString,
    fs, io,
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{ExitStatus, Stdio},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use service_kit::{Settings, config::RedisUrl};
use stream_core::ErrorKind;
use tokio::{process::Child, time::sleep};

use super::{command_line, data_dir::DataDir, programs, service::signal_child};
use crate::{embedded_record::Record, output::news, redis_access::Access};

/// Longest wait for the first answer; while it loads its data it may take longer.
const START_DEADLINE: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const LOG_TAIL_LINES: usize = 10;
/// In the record, of a server that was started by hand. Nobody has this process ID.
const UNKNOWN_PID: u32 = 0;

/// The embedded Redis.
#[derive(Debug)]
pub(super) struct RedisServer {
    child: Child,
    port: u16,
    pub(super) dir: DataDir,
    ended: bool,
}

impl RedisServer {
    /// Starts the process; it may not answer yet.
    pub(super) async fn spawn(port: u16) -> anyhow::Result<Self> {
        let program = programs::redis_server()?;
        let dir = DataDir::open().await?;
        ensure_unused(&dir)?;
        ensure_free(port)?;
        // What a run that was killed has left is not true any more.
        Record::remove(dir.path());
        let log = dir.new_log()?;
        let errors = log.try_clone().context("cannot write the log of Redis")?;
        let argv = arguments(port, &dir.redis());
        let mut command = std::process::Command::new(&program);
        command
            .args(&argv)
            .current_dir(dir.redis())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // Ctrl-C in the terminal must not reach it: it stops after the services.
            .process_group(0);
        let child = tokio::process::Command::from(command)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let (pid, by_hand) =
            (child.id().unwrap_or_default(), command_line::render(&program, &argv, None, None));
        news(format_args!("orderflow: started redis (process {pid}): {by_hand}"));
        Ok(Self { child, port, dir, ended: false })
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Waits until it answers, then leaves word of it for the other subcommands.
    pub(super) async fn wait_until_ready(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let mut settings = settings.clone();
        settings.redis.url = RedisUrl::new(self.url());
        let access = Access::open(&settings)?;
        let started = Instant::now();
        let mut loading_told = false;
        loop {
            let answer = access.stream.connection().ping().await;
            // Only a process that lives can have answered; another server might on the same port.
            if let Some(status) = self.child.try_wait().context("cannot look after redis-server")? {
                self.ended = true;
                anyhow::bail!("redis-server ended at once ({status}); its log ends:\n{}", self.log_tail());
            }
            match answer {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::Loading => {
                    if !loading_told {
                        news("redis | loading its data");
                        loading_told = true;
                    }
                }
                Err(error) if started.elapsed() > START_DEADLINE => {
                    anyhow::bail!(
                        "redis-server does not answer: {error}; its log ends:\n{}",
                        self.log_tail()
                    );
                }
                Err(_) => {}
            }
            sleep(POLL_INTERVAL).await;
        }
        let record = Record {
            redis_url: self.url(),
            redis_pid: self.child.id().unwrap_or_default(),
            stream: settings.stream.key,
            producer: settings.producer.listen,
            analytics: Some(settings.analytics.listen),
            admin_token: settings.admin.token.expose().to_owned(),
        };
        record
            .write(self.dir.path())
            .with_context(|| format!("cannot write to {}", self.dir.path().display()))
    }

    pub(super) fn runs(&self) -> bool {
        !self.ended
    }

    /// Whether it has ended and somebody has started another in its place.
    pub(super) fn is_replaced(&self) -> bool {
        self.ended && bind(self.port).is_err()
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Ready when it has ended, once; may be polled anew at any time.
    pub(super) fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        if self.ended {
            return Poll::Pending;
        }
        let end = std::pin::pin!(self.child.wait()).poll(context);
        self.ended = end.is_ready();
        end
    }

    /// SIGTERM makes it write its append-only file to the disk and end.
    pub(super) fn signal(&self, signal: Signal) {
        signal_child(&self.child, signal);
    }

    fn log_tail(&self) -> String {
        let log = fs::read(self.dir.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        match Record::read(self.dir.path()) {
            Some(record) if self.is_replaced() => {
                // If it cannot be written, there is no remedy.
                _ = Record { redis_pid: UNKNOWN_PID, ..record }.write(self.dir.path());
            }
            _ => Record::remove(self.dir.path()),
        }
    }
}

/// An `orderflow up` that was killed could not stop its Redis, and none stops one that was started by hand. A second
/// server on the same files, on whatever port, would spoil them.
fn ensure_unused(dir: &DataDir) -> anyhow::Result<()> {
    let Some(record) = Record::read(dir.path()) else { return Ok(()) };
    let port = record.redis_url.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
    let Some(port) = port.filter(|port| bind(*port).is_err()) else { return Ok(()) };
    let dir = dir.path().display();
    if record.redis_pid == UNKNOWN_PID {
        anyhow::bail!(
            "the redis-server on port {port}, which was started by hand, still uses {dir}; stop it \
             (redis-cli -p {port} shutdown), then start this one again"
        );
    }
    // The port alone may be another's by now.
    let pid = i32::try_from(record.redis_pid).unwrap_or(i32::MAX);
    anyhow::ensure!(
        kill(Pid::from_raw(pid), None).is_err(),
        "the redis-server of an `orderflow up` that was killed (process {pid}, port {port}) still uses {dir}; stop it \
         with kill {pid}, then start this one again"
    );
    Ok(())
}

fn ensure_free(port: u16) -> anyhow::Result<()> {
    let Err(error) = bind(port) else { return Ok(()) };
    let cause = match error.kind() {
        io::ErrorKind::AddrInUse => "it is taken".to_owned(),
        _ => error.to_string(),
    };
    anyhow::bail!(
        "cannot start a Redis on port {port}: {cause}; choose another with --embedded-redis-port, or use a \
         running Redis with --redis-url"
    )
}

fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// Loopback only, everything kept, nothing evicted.
fn arguments(port: u16, dir: &Path) -> Vec<OsString> {
    let port = port.to_string();
    let fixed = ["--port", &port, "--bind", "127.0.0.1", "--protected-mode", "yes", "--daemonize", "no"];
    let kept = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"];
    let rest = ["--maxmemory-policy", "noeviction", "--dir"];
    let words = fixed.iter().chain(&kept).chain(&rest).map(OsString::from);
    words.chain([dir.as_os_str().to_owned()]).collect()
}
