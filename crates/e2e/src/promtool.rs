//! promtool: what it says of files and of metrics.

use std::{
    ffi::OsStr,
    io::Write,
    process::{Command, Output, Stdio},
};

use crate::prometheus::program;

/// Runs promtool with this on its standard input. `PROMTOOL_BIN` may name the program.
pub fn promtool<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>, input: &str) -> Output {
    let mut command = Command::new(program("PROMTOOL_BIN", "promtool"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| {
        panic!("promtool did not start: {error}; deploy/scripts/ensure-prometheus.sh installs it")
    });
    let mut stdin = child.stdin.take().expect("its input is piped");
    // It may end without having read everything, and then says why.
    _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("promtool can be awaited")
}

/// Asserts that promtool was content.
pub fn succeeded(output: &Output, what: &str) {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool, {what}: {}\n{out}\n{error}", output.status);
}
