//! Wiping a stream: it and every key derived from it, or all but what running workers stand on.

use redis::Cmd;

use super::{EventStream, unix_ms};
use crate::Error;

/// How the name of a derived key goes on, to its end or to a colon. Anything else may be a stream of somebody else's:
/// `events:{tenant_a}:archive` is derived from `events:{tenant_a}` by its looks alone.
const SUFFIXES: [&str; 14] = [
    "dlq:",
    "dlq_dropped:",
    "redrive:",
    "pos:",
    "idem:",
    "lease:",
    "workers",
    "workers:",
    "applied:",
    "analytics:",
    "notified:",
    "projection:",
    "gen:",
    "retention:",
];

/// Keys looked at by one SCAN: short enough not to hold the server up.
const SCAN_COUNT: usize = 1_000;

impl EventStream {
    /// Deletes the stream with its groups, and every key derived from it: dead letters, positions, leases,
    /// projections. Nothing can be recovered. Looks at every key of the server, so it is for demos and tests;
    /// of a Cluster it sees one node.
    pub async fn wipe(&self) -> Result<(), Error> {
        self.wipe_all_but(|_| false).await.map(drop)
    }

    /// Wipes the stream while workers run, who must have been paused and have nothing in flight: leases and the registry of
    /// consumers stay, and all the rest goes. Totals begin again at 0; groups and their consumers have to be created anew.
    /// As for [`wipe`](Self::wipe), nothing can be recovered, and it is for demos and tests.
    pub async fn reset(&self) -> Result<(), Error> {
        let base = self.key.with_suffix("");
        let registry = self.key.workers();
        let kept = |key: &str| {
            key == registry || suffix(&base, key).is_some_and(|suffix| suffix.starts_with("lease:"))
        };
        let gone = self.wipe_all_but(kept).await?;
        // A worker knows the generations of its projection by their epoch: one that was used before would mislead it.
        let states = gone.iter().filter(|key| {
            suffix(&base, key).and_then(|suffix| suffix.strip_prefix("projection:")).is_some_and(is_group)
        });
        for state in states {
            let mut cmd = redis::cmd("HSET");
            cmd.arg(state).arg("epoch").arg(unix_ms());
            self.connection.query::<i64>("HSET epoch", &cmd).await?;
        }
        Ok(())
    }

    /// Deletes the stream, then what is derived from it unless `kept`. Returns the keys that it has deleted.
    async fn wipe_all_but(&self, kept: impl Fn(&str) -> bool) -> Result<Vec<String>, Error> {
        let mut gone = vec![self.key.as_str().to_owned()];
        self.unlink(&gone).await?;
        let base = self.key.with_suffix("");
        let mut cursor = 0_u64;
        // Ends: SCAN comes back to 0 after every key has been looked at (Redis command reference, "SCAN").
        loop {
            let (next, keys) = self.scan(&base, cursor).await?;
            let derived: Vec<_> =
                keys.into_iter().filter(|found| is_derived(&base, found) && !kept(found)).collect();
            self.unlink(&derived).await?;
            gone.extend(derived);
            cursor = next;
            if cursor == 0 {
                return Ok(gone);
            }
        }
    }

    /// Looks at some of the server's keys, from a cursor on: those that begin with `base`, and the next cursor.
    pub(crate) async fn scan(&self, base: &str, cursor: u64) -> Result<(u64, Vec<String>), Error> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{}*", escape(base))).arg("COUNT").arg(SCAN_COUNT);
        self.connection.query("SCAN", &scan).await
    }

    async fn unlink(&self, keys: &[String]) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut unlink = Cmd::new();
        unlink.arg("UNLINK").arg(keys);
        self.connection.query::<u64>("UNLINK", &unlink).await.map(drop)
    }
}

fn is_derived(base: &str, key: &str) -> bool {
    let is_known =
        |suffix: &str, known: &str| suffix == known || (known.ends_with(':') && suffix.starts_with(known));
    suffix(base, key).is_some_and(|suffix| SUFFIXES.iter().any(|known| is_known(suffix, known)))
}

fn suffix<'a>(base: &str, key: &'a str) -> Option<&'a str> {
    key.strip_prefix(base)
}

/// Whether this is what follows `projection:` in the key of a projection's state, not of what is kept beside it.
fn is_group(rest: &str) -> bool {
    !rest.ends_with(":applied") && !rest.ends_with(":left-out")
}

/// The text as a glob pattern that fits nothing else.
fn escape(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
