//! An installation of the binary with stand-ins for the services, and `orderflow up` running in it.

use std::{
    fs,
    io::{BufRead as _, BufReader, PipeReader},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command},
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tempfile::TempDir;
use testkit::free_port;

use crate::common::{BINARY, command, example, temp_dir};

pub(crate) const SERVICES: [&str; 5] =
    ["producer-api", "notifications-worker", "analytics-worker", "reaper", "console"];
const LISTENS: [&str; 8] = [
    "PRODUCER__LISTEN",
    "PRODUCER__OPS_LISTEN",
    "NOTIFICATIONS__OPS_LISTEN",
    "ANALYTICS__LISTEN",
    "ANALYTICS__OPS_LISTEN",
    "REAPER__OPS_LISTEN",
    "CONSOLE__LISTEN",
    "CONSOLE__OPS_LISTEN",
];
/// An installation of `orderflow` with stand-ins beside it, and a directory to run it in.
pub(crate) struct Installation {
    pub(crate) dir: TempDir,
    pub(crate) ports: Vec<u16>,
    pub(crate) redis_port: u16,
}

impl Installation {
    pub(crate) fn new() -> Self {
        let dir = temp_dir();
        fs::create_dir(dir.path().join("bin")).unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        // A link keeps its own place, and that is where the services are looked for.
        fs::hard_link(BINARY, dir.path().join("bin/orderflow")).unwrap();
        for service in SERVICES {
            std::os::unix::fs::symlink(example("stand_in"), dir.path().join("bin").join(service)).unwrap();
        }
        let ports = LISTENS.map(|_| free_port()).into();
        Self { dir, ports, redis_port: free_port() }
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.with_ports(command(self.dir.path().join("bin/orderflow"), &self.work()));
        command.args(args);
        command
    }

    /// A line that somebody types into a shell.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let mut shell = self.with_ports(command("sh", &self.work()));
        shell.args(["-c", &format!("exec env {line}")]);
        shell
    }

    fn with_ports(&self, mut command: Command) -> Command {
        for (name, port) in LISTENS.iter().zip(&self.ports) {
            command.env(format!("ORDERFLOW__{name}"), format!("127.0.0.1:{port}"));
        }
        command
    }

    pub(crate) fn up(&self, args: &[&str]) -> Command {
        let mut command = self.command(&["up"]);
        command.args(["--embedded-redis-port", &self.redis_port.to_string()]).args(args);
        command
    }

    pub(crate) fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.redis_port)
    }

    pub(crate) fn redis_runs(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.redis_port)).is_ok()
    }

    pub(crate) fn services_run(&self) -> bool {
        self.ports.iter().any(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
    }
}

/// A running `orderflow up`, stopped when dropped.
pub(crate) struct Up {
    child: Child,
    output: BufReader<PipeReader>,
    /// Everything it has said so far.
    pub(crate) said: Vec<String>,
}

impl Up {
    pub(crate) fn start(mut command: Command) -> Self {
        let (output, writer) = std::io::pipe().unwrap();
        // A group of its own, as a shell gives to a command: Ctrl-C goes to the group.
        command.stdout(writer.try_clone().unwrap()).stderr(writer).process_group(0);
        let child = command.spawn().unwrap();
        Self { child, output: BufReader::new(output), said: Vec::new() }
    }

    pub(crate) fn started(command: Command) -> Self {
        let mut up = Self::start(command);
        up.wait_for("orderflow groups");
        up
    }

    /// Reads up to the line that holds this text, and returns it.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "it ended before {text:?}:\n{}", self.said.concat());
            self.said.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The line that holds these texts, of those read so far.
    #[track_caller]
    pub(crate) fn line(&self, texts: &[&str]) -> &str {
        let fits = |line: &&String| texts.iter().all(|text| line.contains(text));
        self.said.iter().find(fits).unwrap_or_else(|| panic!("{texts:?} in:\n{}", self.said.concat()))
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    pub(crate) fn ctrl_c(&self) {
        killpg(self.pid(), Signal::SIGINT).unwrap();
    }

    /// Waits for the end; its exit code and what it has said.
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            self.said.push(std::mem::take(&mut line));
        }
        (self.child.wait().unwrap().code(), self.said.concat())
    }

    pub(crate) fn service_pid(&self, name: &str) -> Pid {
        let line = self.line(&["started", name]);
        let pid = line.split("(process ").nth(1).and_then(|rest| rest.split(')').next()).unwrap();
        Pid::from_raw(pid.parse().unwrap())
    }

    fn wait_for_stopping(&mut self) {
        let mut line = String::new();
        while self.output.read_line(&mut line).is_ok_and(|read| read > 0) && !line.contains("stopping") {
            line.clear();
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Twice, so that a test that failed leaves nothing behind.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            _ = kill(self.pid(), Signal::SIGTERM);
            self.wait_for_stopping();
            _ = kill(self.pid(), Signal::SIGTERM);
            _ = self.child.wait();
        }
    }
}
