//! promtool and prometheus, and the repository's files that they are given.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A program, or the one that its variable names.
pub(crate) fn program(variable: &str, name: &str) -> String {
    env::var(variable).unwrap_or_else(|_| name.to_owned())
}

/// A path of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

pub(crate) fn read(path: &str) -> String {
    let path = repository(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The YAML files of a directory, sorted.
pub(crate) fn yaml_files(dir: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository(dir)).unwrap_or_else(|error| panic!("{dir}: {error}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a directory entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    assert!(!files.is_empty(), "{dir} has no YAML file");
    files
}

/// Runs promtool with this on its standard input.
pub(crate) fn promtool<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>, input: &str) -> Output {
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
pub(crate) fn succeeded(output: &Output, what: &str) {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool, {what}: {}\n{out}\n{error}", output.status);
}
