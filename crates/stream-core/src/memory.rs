//! [`MemoryUse`]: how full a server is.

use crate::{Connection, Error};

/// How much memory a server uses (INFO memory).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUse {
    /// Bytes it uses.
    pub used: u64,
    /// Its limit in bytes, 0 for none.
    pub max: u64,
}

impl MemoryUse {
    /// Asks the server behind a connection.
    pub async fn ask(connection: &Connection) -> Result<Self, Error> {
        let info: String = connection.query("INFO", redis::cmd("INFO").arg("memory")).await?;
        Ok(Self::parse(&info))
    }

    fn parse(info: &str) -> Self {
        let bytes = |name: &str| {
            let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
        };
        Self { used: bytes("used_memory"), max: bytes("maxmemory") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_memory_and_its_limit() {
        let info = "# Memory\r\nused_memory:1048576\r\nused_memory_human:1.00M\r\nmaxmemory:2097152\r\n";
        assert_eq!(MemoryUse::parse(info), MemoryUse { used: 1_048_576, max: 2_097_152 });
        assert_eq!(MemoryUse::parse("# Memory\r\n"), MemoryUse { used: 0, max: 0 });
    }
}
