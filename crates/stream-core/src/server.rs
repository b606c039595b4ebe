//! [`ServerInfo`]: which server answers, and whether streams are safe on it.

use std::{collections::HashMap, fmt, time::Duration};

use crate::{Connection, Error};

/// What a server says of itself (INFO).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// The Redis version, or the one that a compatible server claims to be compatible with.
    pub version: ServerVersion,
    /// What it is called: `Redis`, `Valkey`, or whatever else it calls itself.
    pub product: String,
    /// The product's own version in full, such as `9.1.2`.
    pub release: String,
    /// `standalone`, `cluster` or `sentinel`.
    pub mode: String,
    /// A number that every run of a server has to itself.
    pub run_id: String,
    /// How long it has been running.
    pub uptime: Duration,
    /// Whether it is a replica, which refuses writes.
    pub is_replica: bool,
    /// Bytes in use.
    pub used_memory: u64,
    /// Its memory limit in bytes, 0 for none.
    pub max_memory: u64,
    /// What it does at that limit. Anything but `noeviction` may delete a stream whole.
    pub eviction_policy: String,
    /// Connections that are open.
    pub clients: u64,
    /// Connections that may be open, 0 if it does not say.
    pub max_clients: u64,
    /// How safe its data are on disk.
    pub persistence: Persistence,
}

/// What a server says of its persistence (INFO persistence).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persistence {
    /// Whether it writes an append-only file.
    pub append_only: bool,
    /// Whether its last write or rewrite of the append-only file failed.
    pub append_failed: bool,
    /// Whether its last snapshot failed; by default it then refuses writes (MISCONF).
    pub snapshot_failed: bool,
    /// Unix seconds of the last snapshot, or of the start.
    pub last_snapshot_s: u64,
}

/// A server version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    /// Major version.
    pub major: u32,
    /// Minor version.
    pub minor: u32,
}

impl ServerVersion {
    /// The oldest version that works: XAUTOCLAIM reports deleted IDs and XINFO GROUPS lag since then.
    pub const OLDEST: Self = Self { major: 7, minor: 0 };
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl ServerInfo {
    /// Asks the server behind a connection.
    pub async fn ask(connection: &Connection) -> Result<Self, Error> {
        let info: String = connection.query("INFO", &redis::cmd("INFO")).await?;
        Ok(Self::parse(&info))
    }

    /// The server's clock as the time since the Unix epoch (TIME).
    pub async fn clock(connection: &Connection) -> Result<Duration, Error> {
        let (seconds, micros): (u64, u64) = connection.query("TIME", &redis::cmd("TIME")).await?;
        Ok(Duration::from_secs(seconds) + Duration::from_micros(micros))
    }

    /// When the server syncs its append-only file: `always`, `everysec` or `no` (CONFIG GET). Managed servers
    /// often refuse to tell.
    pub async fn append_fsync(connection: &Connection) -> Result<Option<String>, Error> {
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg("appendfsync");
        let mut values: HashMap<String, String> = connection.query("CONFIG GET", &get).await?;
        Ok(values.remove("appendfsync"))
    }

    fn parse(info: &str) -> Self {
        let fields: HashMap<&str, &str> =
            info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        let field = |name: &str| fields.get(name).copied().unwrap_or_default();
        let number = |name: &str| field(name).parse().unwrap_or(0);
        let first = |names: [&str; 2]| names.map(field).into_iter().find(|text| !text.is_empty());
        let mut parts = field("redis_version").split('.').map(|part| part.parse().unwrap_or(0));
        let version = ServerVersion { major: parts.next().unwrap_or(0), minor: parts.next().unwrap_or(0) };
        let failed = |name: &str| field(name) == "err";
        Self {
            version,
            product: match field("server_name") {
                "" | "redis" => "Redis".to_owned(),
                "valkey" => "Valkey".to_owned(),
                other => other.to_owned(),
            },
            release: first(["valkey_version", "redis_version"]).unwrap_or_default().to_owned(),
            mode: first(["redis_mode", "server_mode"]).unwrap_or("standalone").to_owned(),
            run_id: field("run_id").to_owned(),
            uptime: Duration::from_secs(number("uptime_in_seconds")),
            is_replica: field("role") == "slave",
            used_memory: number("used_memory"),
            max_memory: number("maxmemory"),
            eviction_policy: field("maxmemory_policy").to_owned(),
            clients: number("connected_clients"),
            max_clients: number("maxclients"),
            persistence: Persistence {
                append_only: field("aof_enabled") == "1",
                append_failed: failed("aof_last_write_status") || failed("aof_last_bgrewrite_status"),
                snapshot_failed: failed("rdb_last_bgsave_status"),
                last_snapshot_s: number("rdb_last_save_time"),
            },
        }
    }

    /// Whether the server might delete a stream to make room.
    pub fn may_evict(&self) -> bool {
        self.eviction_policy != "noeviction"
    }

    /// Whether the server is a node of a Redis Cluster.
    pub fn is_cluster(&self) -> bool {
        self.mode == "cluster"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_fields_it_needs() {
        let info = "# Server\r\nredis_version:7.0.15\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n";
        let info = ServerInfo::parse(info);
        assert!(info.version >= ServerVersion::OLDEST);
        assert!(!info.may_evict());
        assert_eq!((info.product.as_str(), info.release.as_str()), ("Redis", "7.0.15"));
        assert!(ServerInfo::parse("redis_version:6.2.14\r\n").version < ServerVersion::OLDEST);
    }

    #[test]
    fn a_compatible_server_is_called_by_its_own_name() {
        let info =
            "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\nserver_mode:cluster\r\n";
        let info = ServerInfo::parse(info);
        assert_eq!((info.product.as_str(), info.release.as_str()), ("Valkey", "9.1.2"));
        assert_eq!(info.version, ServerVersion { major: 7, minor: 2 });
        assert!(info.is_cluster());
    }
}
