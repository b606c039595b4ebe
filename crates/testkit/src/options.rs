//! How a test's Redis server is configured.

use std::{env, fs, path::PathBuf};

use redis::{Client, ClientTlsConfig, RedisResult, TlsCertificates};

use crate::{process::StartError, server::RedisServer, tls::install_tls_provider};

/// Files of a server that speaks TLS alone. What they hold is read at each start.
#[derive(Clone, Debug)]
pub struct RedisTls {
    /// The authority that signed the server's certificate and those of its clients.
    pub ca: PathBuf,
    /// The server's certificate, for `127.0.0.1` and `localhost`. The test's own connections show it as well.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Whether clients must show a certificate.
    pub clients_show_one: bool,
}

/// Configuration of a [`RedisServer`], from [`RedisServer::builder`]: in memory only, unless told otherwise.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing runs until `start` is called"]
pub struct RedisOptions {
    program: Option<String>,
    append_only: bool,
    max_memory_bytes: Option<u64>,
    pub(crate) has_users: bool,
    tls: Option<RedisTls>,
    extra_args: Vec<String>,
}

impl RedisOptions {
    /// The server's program, whatever `REDIS_SERVER_BIN` says.
    pub fn program(mut self, path: impl Into<String>) -> Self {
        self.program = Some(path.into());
        self
    }

    /// The program of a Redis server that has more than our floor of 7.0: what `REDIS_SERVER_8_BIN` names, or
    /// `redis-server-8` in PATH. `None` where there is none: a test that needs one says so, and is skipped.
    pub fn newer_program() -> Option<String> {
        const NAME: &str = "redis-server-8";
        if let Ok(program) = env::var("REDIS_SERVER_8_BIN") {
            return Some(program);
        }
        let path = env::var_os("PATH")?;
        let found = env::split_paths(&path).map(|dir| dir.join(NAME)).find(|program| program.is_file())?;
        found.into_os_string().into_string().ok()
    }

    /// Whether writes survive [`RedisServer::kill`]: an append-only file, synced before each reply
    /// (`appendfsync always`). Off by default.
    pub fn append_only(mut self, on: bool) -> Self {
        self.append_only = on;
        self
    }

    /// Refuses writes with OOM beyond so many bytes (`noeviction`). No limit by default; an empty server takes
    /// about 1 MB.
    pub fn max_memory_bytes(mut self, bytes: u64) -> Self {
        self.max_memory_bytes = Some(bytes);
        self
    }

    /// Whether the server speaks TLS, and nothing else. It does not by default.
    pub fn tls(mut self, tls: RedisTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Adds an option of `redis-server` with its values, such as `arg("--maxclients", ["10"])`. It goes last, so
    /// it wins over what this crate sets.
    pub fn arg<V: Into<String>>(mut self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        self.extra_args.push(name.to_owned());
        self.extra_args.extend(values.into_iter().map(Into::into));
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not start, with the [`StartError`].
    pub async fn start(self) -> RedisServer {
        match self.try_start().await {
            Ok(server) => server,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`RedisOptions::start`], for tests that expect it to fail.
    pub async fn try_start(self) -> Result<RedisServer, StartError> {
        RedisServer::launch(self).await
    }

    pub(crate) fn configured_program(&self) -> Option<&str> {
        self.program.as_deref()
    }

    /// The URL of a server with these options.
    pub(crate) fn url(&self, port: u16) -> String {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{port}")
    }

    /// A client of a server with these options.
    pub(crate) fn client(&self, port: u16) -> RedisResult<Client> {
        install_tls_provider();
        let url = self.url(port);
        let Some(tls) = &self.tls else { return Client::open(url) };
        let client_tls =
            ClientTlsConfig { client_cert: fs::read(&tls.cert)?, client_key: fs::read(&tls.key)? };
        let certificates =
            TlsCertificates { client_tls: Some(client_tls), root_cert: Some(fs::read(&tls.ca)?) };
        Client::build_with_tls(url, certificates)
    }

    /// The arguments that make the server listen.
    fn port_args(&self, port: u16) -> Vec<String> {
        let Some(tls) = &self.tls else { return vec!["--port".to_owned(), port.to_string()] };
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        let clients = if tls.clients_show_one { "yes" } else { "no" };
        [
            ("--port", "0".to_owned()),
            ("--tls-port", port.to_string()),
            ("--tls-ca-cert-file", path(&tls.ca)),
            ("--tls-cert-file", path(&tls.cert)),
            ("--tls-key-file", path(&tls.key)),
            ("--tls-auth-clients", clients.to_owned()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }

    /// The server's arguments, except for its directory.
    pub(crate) fn args(&self, port: u16) -> Vec<String> {
        let append_only = if self.append_only { "yes" } else { "no" };
        let mut args: Vec<String> = [
            "--bind",
            "127.0.0.1",
            "--daemonize",
            "no",
            "--save",
            "",
            "--appendonly",
            append_only,
            "--appendfsync",
            "always",
            "--maxmemory-policy",
            "noeviction",
        ]
        .map(str::to_owned)
        .to_vec();
        args.extend(self.port_args(port));
        if let Some(bytes) = self.max_memory_bytes {
            args.extend(["--maxmemory".to_owned(), bytes.to_string()]);
        }
        args.extend_from_slice(&self.extra_args);
        args
    }
}
