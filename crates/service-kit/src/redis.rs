//! A service's way to Redis: connects lazily, watches the server, and keeps readiness true to it.

use std::{pin::pin, time::Duration};

use anyhow::Context as _;
use prometheus::IntGauge;
use stream_core::{
    ConnectSettings, Connector, EventStream, MaxLen, Precision, ServerInfo, ServerVersion, StreamKey,
};
use tokio::time::sleep;

use crate::{
    Condition, Context, Settings,
    config::{RedisUrl, RetentionPolicy},
};

/// How often the server is asked for a sign of life.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The connector and the stream that a service works with.
#[derive(Debug, Clone)]
pub struct Redis {
    /// Makes further connections: one for each blocking reader.
    pub connector: Connector,
    /// The configured stream, over a connection shared by all commands.
    pub stream: EventStream,
    eviction_gauge: IntGauge,
}

/// A connector from the settings; nothing is connected yet.
pub fn connector(settings: &Settings) -> anyhow::Result<Connector> {
    let redis = &settings.redis;
    let connect = ConnectSettings {
        url: RedisUrl::expose(&redis.url).to_owned(),
        connect_timeout: redis.connect_timeout,
        response_timeout: redis.response_timeout,
        blocking_margin: redis.blocking_margin,
    };
    Connector::new(connect).context("redis.url")
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
        context.registry.register(Box::new(eviction_gauge.clone()))?;
        Ok(Self { connector, stream, eviction_gauge })
    }

    /// Runs `service` to its end while watching the server: `/readyz` is false whenever Redis is away. Ends
    /// early, with the reason, only if the server cannot be used at all (too old, or set to evict).
    pub async fn watched<T>(
        &self,
        context: &Context,
        service: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let mut service = pin!(service);
        tokio::select! {
            result = &mut service => result,
            unusable = self.watch(context) => {
                // What was begun is drained before the process ends.
                context.shutdown.cancel();
                service.await.ok();
                Err(unusable)
            }
        }
    }

    /// Watches the server; returns only when it cannot be used.
    async fn watch(&self, context: &Context) -> anyhow::Error {
        let connection = self.stream.connection();
        let mut available = None;
        loop {
            let probe = match available {
                // A server that comes back may be another one.
                Some(true) => connection.ping().await.map(|()| None),
                _ => ServerInfo::ask(connection).await.map(Some),
            };
            match probe {
                Ok(info) => {
                    if let Some(error) = info.and_then(|info| self.check(&info, &context.settings).err()) {
                        return error;
                    }
                    if available != Some(true) {
                        tracing::info!(address = connection.address(), "Redis answers");
                        context.readiness.set(Condition::Redis, Ok::<_, String>(()));
                    }
                    available = Some(true);
                }
                Err(error) => {
                    if available != Some(false) {
                        tracing::warn!(address = connection.address(), %error, "Redis is away; waiting for it");
                    }
                    context.readiness.set(Condition::Redis, Err(error.to_string()));
                    available = Some(false);
                }
            }
            sleep(PROBE_INTERVAL).await;
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
        self.eviction_gauge.set(i64::from(info.may_evict()));
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
