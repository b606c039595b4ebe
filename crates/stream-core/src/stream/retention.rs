//! Trimming by length or up to an ID, whoever still needs what goes (XTRIM); see `retain` for what spares it.

use std::collections::HashMap;

use super::EventStream;
use crate::{Error, StreamId};

/// How exactly to trim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Whole internal nodes only (`~`): cheap, and a little too much is kept. One call removes at most 100
    /// nodes, by default 10,000 entries: repeat it until it removes nothing.
    #[default]
    Approximate,
    /// To the entry (`=`): markedly dearer on a busy stream.
    Exact,
}

impl Precision {
    pub(super) const fn symbol(self) -> &'static str {
        match self {
            Self::Approximate => "~",
            Self::Exact => "=",
        }
    }
}

/// A bound on the number of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxLen {
    /// Entries to keep.
    pub entries: u64,
    /// How exactly.
    pub precision: Precision,
}

impl EventStream {
    /// Trims to a length (XTRIM MAXLEN), read or not. Returns the number of entries removed.
    pub async fn trim_to_length(&self, max_len: MaxLen) -> Result<u64, Error> {
        let mut cmd = redis::cmd("XTRIM");
        cmd.arg(self.key.as_str()).arg("MAXLEN").arg(max_len.precision.symbol()).arg(max_len.entries);
        self.connection.query("XTRIM", &cmd).await
    }

    /// Trims everything before an ID (XTRIM MINID), read or not. Returns the number of entries removed.
    pub async fn trim_before(&self, oldest: StreamId, precision: Precision) -> Result<u64, Error> {
        let mut cmd = redis::cmd("XTRIM");
        cmd.arg(self.key.as_str()).arg("MINID").arg(precision.symbol()).arg(oldest);
        self.connection.query("XTRIM", &cmd).await
    }

    /// Entries that an internal node of a stream holds at most, by the server's configuration (CONFIG GET
    /// stream-node-max-entries): what [`Precision::Approximate`] may keep too much. `None` if the server does not tell,
    /// or sets no limit.
    pub async fn node_entries_max(&self) -> Result<Option<u64>, Error> {
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg("stream-node-max-entries");
        let values: HashMap<String, String> = self.connection.query("CONFIG GET", &get).await?;
        let entries = values.get("stream-node-max-entries").and_then(|entries| entries.parse().ok());
        Ok(entries.filter(|entries| *entries > 0))
    }
}
