//! One `redis-server` process: started, awaited, killed.

use std::{
    env,
    fs::File,
    io,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use redis::AsyncConnectionConfig;

use crate::{options::RedisOptions, server::USERS_FILE};

/// How long a server may take until it answers. It takes some 30 ms; a busy machine is far slower, above all with a long
/// append-only file to load.
pub(crate) const START_DEADLINE: Duration = Duration::from_mins(1);

/// How often the server is asked whether it is there.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How many lines of the server's log an error shows.
const LOG_TAIL_LINES: usize = 20;

/// Names the server's program, if it is not `redis-server` in PATH.
const BIN_VARIABLE: &str = "REDIS_SERVER_BIN";

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The program could not be run.
    #[error(
        "cannot run `{bin}`: {cause}. Install Redis (`apt-get install redis-server`, `brew install redis`) or set \
         {BIN_VARIABLE} to the program's path"
    )]
    NoProgram {
        /// The program that was tried.
        bin: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The server's directory or log file could not be made.
    #[error("cannot prepare the Redis server's directory: {0}")]
    Directory(io::Error),
    /// The server ended before it answered.
    #[error("redis-server on port {port} ended at once ({status}); its log ends:\n{log_tail}")]
    Ended {
        /// The port it should have listened on.
        port: u16,
        /// How it ended.
        status: String,
        /// The last lines of its log.
        log_tail: String,
    },
    /// The server runs but gave no good answer in time.
    #[error(
        "redis-server on port {port} did not answer within {START_DEADLINE:?} ({last}); its log ends:\n{log_tail}"
    )]
    NoAnswer {
        /// The port it should listen on.
        port: u16,
        /// The last answer or error.
        last: String,
        /// The last lines of its log.
        log_tail: String,
    },
}

impl StartError {
    /// Whether somebody else took the port between choosing and using it.
    pub(crate) fn is_port_taken(&self) -> bool {
        matches!(self, Self::Ended { log_tail, .. } if log_tail.contains("Address already in use"))
    }
}

/// A running `redis-server`, killed when it is dropped.
#[derive(Debug)]
pub(crate) struct RedisProcess {
    child: Child,
}

impl RedisProcess {
    /// Starts a server in `dir` and waits until it answers.
    pub(crate) async fn start(options: &RedisOptions, port: u16, dir: &Path) -> Result<Self, StartError> {
        let mut process = Self { child: spawn(options, port, dir)? };
        process.wait_until_ready(options, port, dir).await?;
        Ok(process)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    async fn wait_until_ready(
        &mut self,
        options: &RedisOptions,
        port: u16,
        dir: &Path,
    ) -> Result<(), StartError> {
        let end = Instant::now() + START_DEADLINE;
        loop {
            let last = match probe(options, port, self.pid()).await {
                Ok(()) => return Ok(()),
                Err(seen) => seen,
            };
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(StartError::Ended { port, status: status.to_string(), log_tail: log_tail(dir) });
            }
            if Instant::now() >= end {
                return Err(StartError::NoAnswer { port, last, log_tail: log_tail(dir) });
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl Drop for RedisProcess {
    fn drop(&mut self) {
        // Either fails only if the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(options: &RedisOptions, port: u16, dir: &Path) -> Result<Child, StartError> {
    let configured = options.configured_program().map(str::to_owned).or_else(|| env::var(BIN_VARIABLE).ok());
    let bin = configured.unwrap_or_else(|| "redis-server".to_owned());
    let log = File::options().create(true).append(true).open(log_path(dir)).map_err(StartError::Directory)?;
    let errors = log.try_clone().map_err(StartError::Directory)?;
    Command::new(&bin)
        .arg("--dir")
        .arg(dir)
        .args(options.has_users.then_some(["--aclfile", USERS_FILE]).into_iter().flatten())
        .args(options.args(port))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(|cause| StartError::NoProgram { bin, cause })
}

/// Asks whether the server on `port` is ready and is the one we started.
async fn probe(options: &RedisOptions, port: u16, pid: u32) -> Result<(), String> {
    let text = |error: redis::RedisError| error.to_string();
    let client = options.client(port).map_err(text)?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(1)))
        .set_response_timeout(Some(Duration::from_secs(1)));
    let mut connection = match client.get_multiplexed_async_connection_with_config(&config).await {
        Ok(connection) => connection,
        // A server whose certificate is bad is as ready as it will be; a test wants it so.
        Err(error) if error.to_string().contains("invalid peer certificate") => return Ok(()),
        Err(error) => return Err(text(error)),
    };
    match redis::cmd("PING").query_async::<()>(&mut connection).await {
        Ok(()) => {}
        // A server with a password (from an extra argument) is ready when it asks for it.
        Err(error) if error.code() == Some("NOAUTH") => return Ok(()),
        Err(error) => return Err(text(error)),
    }
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await.map_err(text)?;
    if info.lines().any(|line| line.strip_prefix("process_id:") == Some(pid.to_string().as_str())) {
        return Ok(());
    }
    Err(format!("another Redis server than our process {pid} answers"))
}

fn log_path(dir: &Path) -> std::path::PathBuf {
    dir.join("redis-server.log")
}

fn log_tail(dir: &Path) -> String {
    let log = std::fs::read(log_path(dir)).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}
