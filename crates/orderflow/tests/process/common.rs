//! The binary without the environment of whoever runs the tests, and streams to point it at.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use stream_core::{ConnectSettings, Connector, EventStream, StreamId, StreamKey};
use tempfile::TempDir;
use testkit::RedisServer;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_orderflow");

/// A command with no settings in its environment, in a directory of its own choice.
pub(crate) fn command(program: impl AsRef<Path>, dir: &Path) -> Command {
    let mut command = Command::new(program.as_ref());
    for (name, _) in std::env::vars_os() {
        let is_setting =
            |name: &str| name.contains("REDIS") || name.starts_with("ORDERFLOW") || name == "RUST_LOG";
        if name.to_str().is_some_and(is_setting) {
            command.env_remove(name);
        }
    }
    command.current_dir(dir).stdin(Stdio::null());
    command
}

/// `orderflow` with these arguments in an empty directory.
pub(crate) fn orderflow(args: &[&str]) -> Ended {
    let dir = temp_dir();
    Ended::of(command(BINARY, dir.path()).args(args))
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::from_output(command.output().expect("it runs"))
    }

    pub(crate) fn from_output(output: Output) -> Self {
        let Output { status, stdout, stderr } = output;
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// The standard output of a success.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// The standard error of a failure with this code.
    #[track_caller]
    pub(crate) fn failure(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stderr
    }
}

pub(crate) fn temp_dir() -> TempDir {
    // On the file system of the binaries, so that they can be hard-linked.
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

/// Where Cargo puts the example binaries.
pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(BINARY).parent().expect("target/<profile>").join("examples").join(name)
}

/// A stream of a test's own.
pub(crate) struct TestStream {
    pub(crate) url: String,
    pub(crate) key: String,
    pub(crate) stream: EventStream,
    connector: Connector,
}

impl TestStream {
    pub(crate) fn new(server: &RedisServer) -> Self {
        Self::at(server.url(), server.unique_stream("orders"))
    }

    pub(crate) fn at(url: String, key: String) -> Self {
        let settings = ConnectSettings { url: url.clone(), ..ConnectSettings::default() };
        let connector = Connector::new(settings).unwrap();
        let stream = EventStream::new(connector.commands().unwrap(), StreamKey::new(&key).unwrap());
        Self { url, key, stream, connector }
    }

    /// The subcommand `args`, pointed at this stream.
    pub(crate) fn args<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        [args, &["--redis-url", &self.url, "--stream", &self.key]].concat()
    }

    pub(crate) async fn append(&self, customer: &str) -> StreamId {
        self.stream.append([("type", "order.paid"), ("customer", customer)]).await.unwrap()
    }

    /// Hands `count` entries to a consumer, which does not ack them.
    pub(crate) async fn deliver(&self, group: &str, consumer: &str, count: usize) {
        let block = std::time::Duration::from_secs(1);
        let mut connection = self.connector.blocking(block).unwrap();
        let entries = self.stream.read_new(&mut connection, group, consumer, count, block).await.unwrap();
        assert_eq!(entries.len(), count);
    }
}
