//! [`ServerInfo`]: which server answers, and whether streams are safe on it.

use std::fmt;

use crate::{Connection, Error};

/// What a server says of itself (INFO).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// The Redis version, or the one that a compatible server claims to be compatible with.
    pub version: ServerVersion,
    /// Its memory limit in bytes, 0 for none.
    pub max_memory: u64,
    /// What it does at that limit. Anything but `noeviction` may delete a stream whole.
    pub eviction_policy: String,
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

    fn parse(info: &str) -> Self {
        let field = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
                .trim()
        };
        let mut parts = field("redis_version").split('.').map(|part| part.parse().unwrap_or(0));
        let version = ServerVersion { major: parts.next().unwrap_or(0), minor: parts.next().unwrap_or(0) };
        Self {
            version,
            max_memory: field("maxmemory").parse().unwrap_or(0),
            eviction_policy: field("maxmemory_policy").to_owned(),
        }
    }

    /// Whether the server might delete a stream to make room.
    pub fn may_evict(&self) -> bool {
        self.eviction_policy != "noeviction"
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
        assert!(ServerInfo::parse("redis_version:6.2.14\r\n").version < ServerVersion::OLDEST);
    }
}
