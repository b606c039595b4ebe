//! A running producer-api of the test's own.

use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use testkit::RedisServer;

/// No test waits so long unless something hangs.
pub(crate) const HANG: Duration = Duration::from_secs(20);

/// The process, killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    log: Receiver<Value>,
    /// Everything that it has written.
    output: Arc<Mutex<String>>,
}

impl Process {
    /// Starts the binary with these settings; its ports are free ones.
    pub(crate) fn start(redis: &RedisServer, stream: &str, settings: &[(&str, &str)]) -> Self {
        // Another build of it, if one is named: figures are taken from a release build.
        let program = std::env::var_os("PRODUCER_API_BIN");
        let mut command = Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_producer-api").into()));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.contains("REDIS") || name.starts_with("ORDERFLOW")) {
                command.env_remove(name);
            }
        }
        command.env_remove("RUST_LOG").args(["--log-format", "json"]);
        let url = redis.url();
        let ours = [
            ("redis.url", url.as_str()),
            ("stream.key", stream),
            ("producer.listen", "127.0.0.1:0"),
            ("producer.ops_listen", "127.0.0.1:0"),
        ];
        for (key, value) in ours.iter().chain(settings) {
            command.args(["--set", &format!("{key}={value}")]);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
        let stderr = child.stderr.take().expect("a pipe");
        let (sender, log) = channel();
        let output = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&output);
        // Reads to the end, so that the process never blocks on its log.
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                _ = writeln!(io::stderr(), "{line}");
                written.lock().expect("no panic").extend([line.as_str(), "\n"]);
                let line = serde_json::from_str(&line).expect("a JSON line");
                _ = sender.send(line);
            }
        });
        Self { child, log, output }
    }

    /// Waits for the log line with this message.
    pub(crate) fn logged(&self, message: &str) -> Value {
        let end = Instant::now() + HANG;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("no log line {message:?}"));
            if line["message"] == message {
                return line;
            }
        }
    }

    /// Waits until each of these was logged, in whatever order; lines between them are dropped.
    pub(crate) fn logged_all<const N: usize>(&self, messages: [&str; N]) {
        let mut left = messages.to_vec();
        let end = Instant::now() + HANG;
        while !left.is_empty() {
            let line = self.log.recv_timeout(end.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("no log lines {left:?}"));
            left.retain(|message| line["message"] != *message);
        }
    }

    /// The most memory that the process has taken so far, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a figure");
        peak.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Everything that it has written so far.
    pub(crate) fn output(&self) -> String {
        self.output.lock().expect("no panic").clone()
    }

    pub(crate) fn terminate(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a pid"));
        kill(pid, Signal::SIGTERM).expect("a running process");
    }

    /// Waits until the process has ended.
    pub(crate) async fn exited(&mut self) -> ExitStatus {
        testkit::eventually(HANG, "the process has ended", async || self.child.try_wait().expect("a child"))
            .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
