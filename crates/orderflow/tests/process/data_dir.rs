//! up in a directory whose data a Redis of an earlier run still uses.

use std::time::Duration;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testkit::eventually;

use crate::{
    common::Ended,
    installation::{Installation, SERVICES, Up},
};

/// Stops a process when dropped, whatever becomes of the test.
struct Left(Pid);

impl Drop for Left {
    fn drop(&mut self) {
        _ = kill(self.0, Signal::SIGTERM);
    }
}

#[tokio::test]
async fn the_data_of_a_run_that_was_killed_are_left_to_the_redis_that_still_uses_them() {
    let first = Installation::new();
    let mut up = Up::started(first.up(&[]));
    kill(up.pid(), Signal::SIGKILL).unwrap();
    let left = Left(up.service_pid("redis"));
    let redis = left.0;
    for service in SERVICES {
        // Those that have noticed are gone already.
        _ = kill(up.service_pid(service), Signal::SIGKILL);
    }
    up.end();
    // On the port that is taken, on another one, and as often as it is tried.
    let second = Installation::new();
    for port in [first.redis_port, second.redis_port, second.redis_port] {
        let mut command = second.command(&["up", "--embedded-redis-port", &port.to_string()]);
        let stderr = Ended::of(command.current_dir(first.work())).failure(1);
        assert!(
            stderr.contains(&format!("(process {redis}, port {}) still uses ", first.redis_port)),
            "{stderr}"
        );
        assert!(stderr.contains(&format!("kill {redis}")), "{stderr}");
    }
    drop(left);
    eventually(Duration::from_secs(10), "it has stopped", async || (!first.redis_runs()).then_some(())).await;
    let mut command = second.up(&[]);
    command.current_dir(first.work());
    drop(Up::started(command));
}

#[tokio::test]
async fn a_redis_that_was_started_by_hand_keeps_its_data_to_itself() {
    let first = Installation::new();
    let mut up = Up::started(first.up(&[]));
    let by_hand = up.line(&["started redis"]).split("): ").nth(1).unwrap().trim().to_owned();
    kill(up.service_pid("redis"), Signal::SIGTERM).unwrap();
    up.wait_for("redis has ended");
    let mut redis = Up::start(first.shell(&by_hand));
    redis.wait_for("Ready to accept connections");
    up.ctrl_c();
    let (code, said) = up.end();
    let told = format!("the redis-server on port {}, which was started by hand, ", first.redis_port);
    assert!(code == Some(0) && said.contains(&format!("{told}goes on")), "{said}");

    let second = Installation::new();
    let again = || {
        let mut command = second.up(&[]);
        command.current_dir(first.work());
        command
    };
    for _ in 0..2 {
        let stderr = Ended::of(&mut again()).failure(1);
        assert!(stderr.contains(&format!("{told}still uses ")), "{stderr}");
    }
    kill(redis.pid(), Signal::SIGTERM).unwrap();
    redis.end();
    drop(Up::started(again()));
}
