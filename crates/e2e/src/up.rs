//! [`Up`]: a running `orderflow up`.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use testkit::free_port;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::binary;

const SOON: Duration = Duration::from_secs(30);

/// A running `orderflow up` in a directory of its own, its output piped. Killed when dropped.
#[derive(Debug)]
pub struct Up {
    child: Child,
    /// Where it runs.
    pub directory: TempDir,
    environment: Vec<(String, String)>,
    /// The port of its own Redis.
    pub redis_port: u16,
    ports: Vec<u16>,
    announcement: String,
}

impl Up {
    /// Starts it with these arguments and waits until it has announced itself.
    pub async fn start(arguments: &[&str]) -> Self {
        // `orderflow up` starts the Redis of these tests, not testkit.
        testkit::install_tls_provider();
        let directory = TempDir::with_prefix("orderflow-up-").expect("a temporary directory can be made");
        let listens = [
            "PRODUCER__LISTEN",
            "PRODUCER__OPS_LISTEN",
            "NOTIFICATIONS__OPS_LISTEN",
            "ANALYTICS__LISTEN",
            "ANALYTICS__OPS_LISTEN",
            "REAPER__OPS_LISTEN",
            "CONSOLE__LISTEN",
            "CONSOLE__OPS_LISTEN",
        ];
        let ports: Vec<u16> = listens.iter().map(|_| free_port()).collect();
        let environment: Vec<(String, String)> = listens
            .iter()
            .zip(&ports)
            .map(|(key, port)| (format!("ORDERFLOW__{key}"), format!("127.0.0.1:{port}")))
            .collect();
        let redis_port = free_port();
        let mut child = Command::new(binary("orderflow"))
            .args(["up", "--embedded-redis-port", &redis_port.to_string()])
            .args(arguments)
            .current_dir(directory.path())
            .env_remove("REDIS_URL")
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("orderflow starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        // Nobody may be held up by a full pipe.
        let mut log = BufReader::new(child.stderr.take().expect("its log is piped")).lines();
        let log = tokio::spawn(async move {
            let mut text = String::new();
            while let Ok(Some(line)) = log.next_line().await {
                text.push_str(&line);
                text.push('\n');
            }
            text
        });
        let mut announcement = String::new();
        let announced = async {
            while let Some(line) = lines.next_line().await.expect("its output is text") {
                announcement.push_str(&line);
                announcement.push('\n');
                if line.contains("orderflow groups") {
                    return true;
                }
            }
            false
        };
        let announced = tokio::time::timeout(SOON, announced).await.expect("`orderflow up` announces itself");
        assert!(
            announced,
            "`orderflow up` ended early:\n{announcement}{}",
            log.await.expect("the log is read")
        );
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, directory, environment, redis_port, ports, announcement }
    }

    /// Runs the n-th command that was printed, as a person would.
    pub async fn run_printed(&self, n: usize) -> String {
        let joined = self.announcement.replace("\\\n", " ");
        let command = joined
            .lines()
            .filter(|line| line.trim_start().starts_with("curl"))
            .nth(n)
            .expect("so many commands were printed");
        let output = Command::new("sh").arg("-c").arg(command).output().await.expect("sh runs");
        String::from_utf8(output.stdout).expect("its output is text")
    }

    /// Runs the command in its directory; its output.
    pub async fn orderflow(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(binary("orderflow"));
        command.args(arguments).current_dir(self.directory.path()).env_remove("REDIS_URL");
        let output = command.envs(self.environment.iter().cloned()).output().await.expect("orderflow runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("its output is text")
    }

    /// The address of one of its services, named like the setting of its port: `CONSOLE__LISTEN`.
    pub fn address(&self, listen: &str) -> &str {
        let variable = format!("ORDERFLOW__{listen}");
        let found = self.environment.iter().find(|(known, _)| *known == variable);
        found.map(|(_, address)| address.as_str()).expect("a port that was given to it")
    }

    /// Stops it with a signal; afterwards nothing listens any more.
    pub async fn stop(mut self, signal: Signal) -> ExitStatus {
        let pid = Pid::from_raw(self.child.id().expect("it runs").cast_signed());
        kill(pid, signal).expect("its own child can be signalled");
        let status = tokio::time::timeout(SOON, self.child.wait())
            .await
            .expect("it stops")
            .expect("a child can be awaited");
        for port in self.ports.iter().chain([&self.redis_port]) {
            assert!(std::net::TcpStream::connect(("127.0.0.1", *port)).is_err(), "{port} is still open");
        }
        status
    }
}
