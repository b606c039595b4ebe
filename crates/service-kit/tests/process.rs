//! A real process: exit codes, flags, signals.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// The `service` example, which Cargo builds beside the tests.
fn example() -> Command {
    let test = std::env::current_exe().expect("a path");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps");
    let mut command = Command::new(profile.join("examples").join("service"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.contains("REDIS") || name.starts_with("ORDERFLOW")) {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG").env("ORDERFLOW__REAPER__OPS_LISTEN", "127.0.0.1:0");
    command
}

fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the example runs");
    (status.code(), String::from_utf8_lossy(&stdout).into(), String::from_utf8_lossy(&stderr).into())
}

/// A running example that logs JSON, killed when dropped.
struct Running {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Running {
    fn start(stream: &str) -> Self {
        let mut command = example();
        command.args(["--log-format", "json", "--stream", stream]).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the example runs");
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        Self { child, log }
    }

    /// Reads the log up to the line with this message.
    fn wait_for(&mut self, message: &str) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.log.read_line(&mut line).expect("text"), 0, "the log ended before {message:?}");
            let line: Value = serde_json::from_str(&line).expect("a JSON line");
            if line["message"] == message {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a pid"));
        kill(pid, signal).expect("a running process");
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("an exit").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[test]
fn a_wrong_configuration_is_exit_78_with_every_mistake() {
    let (code, stdout, stderr) =
        output(example().args(["--set", "worker.block=x", "--set", "shutdown.grce=1s"]));
    assert_eq!(code, Some(78));
    assert_eq!(stdout, "");
    assert!(stderr.starts_with("example: the configuration cannot be used:\nshutdown.grce "), "{stderr}");
    assert!(stderr.contains("\nworker.block (--set worker.block): "), "{stderr}");
}

#[test]
fn print_config_goes_to_stdout_masked() {
    let (code, stdout, stderr) =
        output(example().arg("--print-config").env("REDIS_URL", "redis://:s3cret@host/"));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("url = \"redis://:***@host/\" # REDIS_URL\n"), "{stdout}");
}

#[test]
fn wrong_usage_is_exit_2() {
    assert_eq!(output(example().arg("--nonsense")).0, Some(2));
}

#[test]
fn an_error_is_exit_1_and_one_line() {
    let (code, _, stderr) = output(example().args(["--stream", "fail", "--set", "log.filter=warn"]));
    assert_eq!(code, Some(1));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("failed error=\"told to fail\" service=example"), "{stderr}");
}

#[test]
fn a_panic_is_logged_and_exit_1() {
    let mut running = Running::start("panic");
    assert_eq!(running.wait_for("panicked")["panic"], "told to panic");
    running.wait_for("failed");
    assert_eq!(running.exit_code(), Some(1));
}

#[test]
fn a_taken_ops_port_is_exit_1_with_the_setting_to_change() {
    let mut first = Running::start("s");
    let addr = first.wait_for("starting")["ops_addr"].as_str().expect("an address").to_owned();
    let (code, _, stderr) = output(example().env("ORDERFLOW__REAPER__OPS_LISTEN", addr));
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("address already in use; set reaper.ops_listen (ORDERFLOW__REAPER__"),
        "{stderr}"
    );
}

#[test]
fn sigterm_ends_cleanly_and_the_health_check_follows() {
    let mut running = Running::start("s");
    let starting = running.wait_for("starting");
    assert_eq!(starting["service"], "example");
    let addr = starting["ops_addr"].as_str().expect("an address").to_owned();
    running.wait_for("ready");
    let health_check = || output(example().arg("--health-check").env("ORDERFLOW__REAPER__OPS_LISTEN", &addr));
    assert_eq!(health_check(), (Some(0), String::new(), String::new()));
    running.signal(Signal::SIGTERM);
    running.wait_for("stopped");
    assert_eq!(running.exit_code(), Some(0));
    assert_eq!(health_check().0, Some(1));
}

#[test]
fn draining_is_not_ready_and_a_second_signal_stops_at_once() {
    let mut running = Running::start("stuck");
    let addr = running.wait_for("starting")["ops_addr"].as_str().expect("an address").to_owned();
    running.wait_for("ready");
    running.signal(Signal::SIGINT);
    running.wait_for("draining");
    let (code, _, stderr) =
        output(example().arg("--health-check").env("ORDERFLOW__REAPER__OPS_LISTEN", &addr));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("\"reasons\":[\"draining\"]"), "{stderr}");
    running.signal(Signal::SIGTERM);
    running.wait_for("stopping at once, without draining");
    assert_eq!(running.exit_code(), Some(128 + 15));
}
