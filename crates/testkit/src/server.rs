//! A Redis server of a test's own.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use redis::{AsyncConnectionConfig, aio::MultiplexedConnection};
use tempfile::TempDir;

use crate::{
    eventually,
    options::RedisOptions,
    ports::{free_port, random},
    process::{RedisProcess, START_DEADLINE, StartError},
};

/// How often another port is tried when somebody took the one that was free.
const MAX_PORT_ATTEMPTS: usize = 10;

/// The ACL file in the server's directory.
pub(crate) const USERS_FILE: &str = "users.acl";

/// How long a test's connection waits for a reply: long enough for blocking reads.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A real `redis-server` on a loopback port and in a temporary directory of its own.
///
/// The program is `redis-server` in PATH, or the one that `REDIS_SERVER_BIN` names. Dropping the value kills the
/// server and removes the directory.
///
/// ```no_run
/// # async fn example() {
/// use testkit::RedisServer;
///
/// let mut server = RedisServer::builder().append_only(true).start().await;
/// let stream = server.unique_stream("orders");
/// server.kill();
/// server.restart().await;
/// # }
/// ```
#[derive(Debug)]
pub struct RedisServer {
    // The process goes first when this is dropped, then its directory.
    process: Option<RedisProcess>,
    options: RedisOptions,
    port: u16,
    dir: TempDir,
}

impl RedisServer {
    /// Starts a server that keeps everything in memory and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not start, with the [`StartError`].
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Options for a server that needs more than [`RedisServer::start`] gives.
    pub fn builder() -> RedisOptions {
        RedisOptions::default()
    }

    pub(crate) async fn launch(options: RedisOptions) -> Result<Self, StartError> {
        // An HTTP client that was built with TLS, for whatever crate, panics where nobody has said whose.
        crate::install_tls_provider();
        let dir = TempDir::with_prefix("orderflow-redis-").map_err(StartError::Directory)?;
        let mut attempt = 1;
        loop {
            let port = free_port();
            match RedisProcess::start(&options, port, dir.path()).await {
                Ok(process) => return Ok(Self { process: Some(process), options, port, dir }),
                Err(error) if error.is_port_taken() && attempt < MAX_PORT_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts a replica of this server, in memory only, and waits until it has caught up.
    ///
    /// # Panics
    ///
    /// If it does not start, or does not catch up within the time that a server may take to start.
    pub async fn start_replica(&self) -> Self {
        let mut master = self.connection().await;
        let mut at_once = redis::cmd("CONFIG");
        // Without this the master waits for further replicas to synchronize with.
        at_once.arg("SET").arg("repl-diskless-sync-delay").arg(0);
        let () = at_once.query_async(&mut master).await.expect("the delay can be set");
        let mut options = Self::builder().arg("--replicaof", ["127.0.0.1".to_owned(), self.port.to_string()]);
        if let Some(program) = self.options.configured_program() {
            options = options.program(program);
        }
        let replica = options.start().await;
        eventually(START_DEADLINE, "the replica has caught up", async || {
            let mut info = redis::cmd("INFO");
            let info: String =
                info.arg("replication").query_async(&mut master).await.map_err(|e| e.to_string())?;
            let ours = format!("port={},state=online", replica.port);
            if info.contains(&ours) { Ok(()) } else { Err(info) }
        })
        .await;
        replica
    }

    /// `redis://127.0.0.1:<port>`, or `rediss://…` with TLS; the same after a restart.
    pub fn url(&self) -> String {
        self.options.url(self.port)
    }

    /// The TCP port; the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory that holds the server's log and append-only files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The server's process ID; another one after a restart.
    ///
    /// # Panics
    ///
    /// While the server is killed.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server is killed and has no process ID").pid()
    }

    /// Kills the server with SIGKILL, as a crash would, and waits until it is gone. Does nothing if it is
    /// already.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Stops the server in its tracks (SIGSTOP) until [`RedisServer::resume`]: its sockets stay open, nothing answers.
    ///
    /// # Panics
    ///
    /// While the server is killed.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a paused server go on.
    ///
    /// # Panics
    ///
    /// While the server is killed.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().try_into().expect("a process ID"));
        kill(pid, signal).expect("the process is there");
    }

    /// Starts the server again on the same port with the same directory, killing it first if it runs, and waits
    /// until it answers.
    ///
    /// # Panics
    ///
    /// If it does not start, with the [`StartError`].
    pub async fn restart(&mut self) {
        self.kill();
        match RedisProcess::start(&self.options, self.port, self.dir.path()).await {
            Ok(process) => self.process = Some(process),
            Err(error) => panic!("{error}"),
        }
    }

    /// Defines users beside the default one, which stays as it is: the lines of an ACL file (Redis documentation, "ACL").
    /// They survive a restart.
    ///
    /// # Panics
    ///
    /// If the server cannot be reached or refuses a line.
    pub fn set_users(&mut self, lines: &str) {
        let client = self.options.client(self.port).expect("the URL is well-formed");
        let mut connection = client.get_connection().expect("the server is reachable");
        for line in lines.lines() {
            let mut words = line.split(' ');
            assert_eq!(words.next(), Some("user"), "not a user's line: {line}");
            let mut set = redis::cmd("ACL");
            set.arg("SETUSER").arg(words.next()).arg("reset");
            for rule in rules(words) {
                set.arg(rule);
            }
            set.exec(&mut connection).unwrap_or_else(|error| panic!("{error}, of {line}"));
        }
        let file = format!("user default on nopass ~* &* +@all\n{lines}\n");
        std::fs::write(self.dir.path().join(USERS_FILE), file)
            .expect("the server's directory can be written");
        self.options.has_users = true;
    }

    /// A new connection that waits up to 30 s for a reply.
    ///
    /// # Panics
    ///
    /// If the server cannot be reached.
    pub async fn connection(&self) -> MultiplexedConnection {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(RESPONSE_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let client = self.options.client(self.port).expect("the URL is well-formed");
        match client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(connection) => connection,
            Err(error) => panic!("cannot connect to the test's Redis server at {}: {error}", self.url()),
        }
    }

    /// A stream key that nobody used before: `<prefix>:` and a unique number in hexadecimal digits.
    pub fn unique_stream(&self, prefix: &str) -> String {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        format!("{prefix}:{:016x}{count:x}", random())
    }
}

/// A line's rules; a selector, "(…)", is one.
fn rules<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut rules: Vec<String> = Vec::new();
    for word in words {
        match rules.last_mut() {
            Some(open) if open.starts_with('(') && !open.ends_with(')') => {
                open.push(' ');
                open.push_str(word);
            }
            _ => rules.push(word.to_owned()),
        }
    }
    rules
}
