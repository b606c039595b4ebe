//! A service's way to Redis: connects lazily, watches the server, and keeps readiness true to it.

use std::{
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use anyhow::Context as _;
use prometheus::IntGauge;
use stream_core::{
    ConnectSettings, Connector, EventStream, MaxLen, Precision, ServerInfo, ServerVersion, StreamKey,
    TlsFiles,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    Condition, Context, ServerCapabilities, Settings,
    config::{RedisUrl, RetentionPolicy},
};

/// How often the server is asked for a sign of life.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is asked who it is, and whether it still takes writes.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);

/// The connector and the stream that a service works with.
#[derive(Debug, Clone)]
pub struct Redis {
    /// Makes further connections: one for each blocking reader.
    pub connector: Connector,
    /// The configured stream, over a connection shared by all commands.
    pub stream: EventStream,
    /// What the server can do, once it has been tried.
    pub capabilities: ServerCapabilities,
    eviction_gauge: IntGauge,
    up: IntGauge,
}

/// A connector from the settings; nothing is connected yet.
pub fn connector(settings: &Settings) -> anyhow::Result<Connector> {
    let redis = &settings.redis;
    let file = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
    let connect = ConnectSettings {
        url: RedisUrl::expose(&redis.url).to_owned(),
        url_file: redis.url.file().map(Path::to_owned),
        username: redis.username.as_str().to_owned(),
        username_file: redis.username.file().map(Path::to_owned),
        password: redis.password.expose().to_owned(),
        password_file: redis.password.file().map(Path::to_owned),
        tls: TlsFiles { ca: file(&redis.tls_ca), cert: file(&redis.tls_cert), key: file(&redis.tls_key) },
        connect_timeout: redis.connect_timeout,
        response_timeout: redis.response_timeout,
        blocking_margin: redis.blocking_margin,
    };
    Connector::new(connect).context("redis")
}

/// The configured stream over a connection of `connector`.
pub fn stream(settings: &Settings, connector: &Connector) -> anyhow::Result<EventStream> {
    let key = StreamKey::new(&settings.stream.key).context("stream.key")?;
    let stream = EventStream::new(connector.commands()?, key);
    Ok(match settings.retention.policy {
        RetentionPolicy::Maxlen => stream
            .with_max_len(MaxLen { entries: settings.retention.maxlen, precision: Precision::Approximate }),
        _ => stream,
    })
}

impl Redis {
    /// Prepares the connections. Nothing is sent yet, so Redis may be away.
    pub fn open(context: &Context) -> anyhow::Result<Self> {
        let connector = connector(&context.settings)?;
        let stream = stream(&context.settings, &connector)?;
        let eviction_gauge = IntGauge::new(
            "redis_eviction_policy_unsafe",
            "1 if the server's eviction policy is not noeviction: it could delete the stream whole",
        )?;
        let up = IntGauge::new("redis_up", "1 while the Redis server answers this process, as /readyz says")?;
        context.registry.register(Box::new(eviction_gauge.clone()))?;
        context.registry.register(Box::new(up.clone()))?;
        context.registry.register(Box::new(connector.errors()))?;
        let capabilities = ServerCapabilities::register(&context.registry)?;
        context.ops.mount(capabilities.routes());
        Ok(Self { connector, stream, capabilities, eviction_gauge, up })
    }

    /// Runs `service` to its end while watching the server: `/readyz` is false whenever Redis is away. Ends
    /// early, with the reason, only if the server cannot be used at all (too old, or set to evict).
    pub async fn watched<T>(
        &self,
        context: &Context,
        service: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let mut service = pin!(service);
        let (server, seen) = watch::channel(None);
        let watching = async {
            tokio::select! {
                unusable = self.watch(context, server) => unusable,
                never = self.capabilities.keep(&self.connector, &self.stream, seen) => match never {},
            }
        };
        tokio::select! {
            result = &mut service => result,
            unusable = watching => {
                // What was begun is drained before the process ends.
                context.shutdown.cancel();
                service.await.ok();
                Err(unusable)
            }
        }
    }

    /// Watches the server, telling `server` which it is; returns only when it cannot be used.
    async fn watch(&self, context: &Context, server: watch::Sender<Option<ServerInfo>>) -> anyhow::Error {
        let connection = self.stream.connection();
        let mut available = None;
        let mut looked_at = None;
        loop {
            // A server that comes back may be another one, and one that stays may have changed.
            let due =
                available != Some(true) || looked_at.is_none_or(|at: Instant| at.elapsed() >= LOOK_INTERVAL);
            let probe =
                if due { self.look().await.map(Some) } else { connection.ping().await.map(|()| None) };
            match probe {
                Ok(seen) => {
                    if let Some((info, key_type)) = seen {
                        looked_at = Some(Instant::now());
                        if available != Some(true)
                            && let Err(error) = self.check(&info, &context.settings)
                        {
                            return error;
                        }
                        self.eviction_gauge.set(i64::from(info.may_evict()));
                        let usable = self.usable(&info, &key_type);
                        server.send_replace(Some(info));
                        context.readiness.set(Condition::Other("redis server"), usable);
                    }
                    if available != Some(true) {
                        tracing::info!(address = connection.address(), "Redis answers");
                        context.readiness.set(Condition::Redis, Ok::<_, String>(()));
                    }
                    self.up.set(1);
                    available = Some(true);
                }
                Err(error) => {
                    if available != Some(false) {
                        tracing::warn!(address = connection.address(), %error, "Redis is away; waiting for it");
                    }
                    context.readiness.set(Condition::Redis, Err(error.to_string()));
                    self.up.set(0);
                    available = Some(false);
                }
            }
            // A quarter more or less: replicas that lost their server together do not come back together.
            sleep(PROBE_INTERVAL.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        }
    }

    /// PING as well as INFO: a server that cannot persist refuses the former (MISCONF) and answers the latter.
    async fn look(&self) -> Result<(ServerInfo, String), stream_core::Error> {
        self.stream.connection().ping().await?;
        let info = ServerInfo::ask(self.stream.connection()).await?;
        let key_type = match self.stream.key_type().await {
            // Whoever may not ask can still work.
            Err(error) if error.code() == Some("NOPERM") => "stream".to_owned(),
            answer => answer?,
        };
        Ok((info, key_type))
    }

    /// Whether a server that answers can be worked with.
    fn usable(&self, info: &ServerInfo, key_type: &str) -> Result<(), String> {
        if info.is_replica {
            return Err("it is a replica and takes no writes".to_owned());
        }
        match key_type {
            "stream" | "none" => Ok(()),
            other => Err(format!("its key {} holds a {other}, not a stream", self.stream.key())),
        }
    }

    fn check(&self, info: &ServerInfo, settings: &Settings) -> anyhow::Result<()> {
        anyhow::ensure!(
            info.version >= ServerVersion::OLDEST,
            "Redis {} at {} is too old: version {} or later is needed",
            info.version,
            self.connector.address(),
            ServerVersion::OLDEST
        );
        if info.may_evict() {
            let policy = &info.eviction_policy;
            anyhow::ensure!(
                info.max_memory == 0 || settings.redis.allow_eviction,
                "Redis at {} has maxmemory-policy {policy}, which could delete the stream whole when memory runs \
                 out; set it to noeviction, or set redis.allow_eviction to accept the loss",
                self.connector.address()
            );
            tracing::error!(
                policy,
                "the server's maxmemory-policy is not noeviction: it could delete the stream"
            );
        }
        Ok(())
    }
}
