//! The file of `auth.keys_file`: read at the start, and again whenever it has changed.

use std::{
    fs::{self, Metadata},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::Authenticator;
use crate::config::{ApiKeyEntry, ApiKeys};

/// How often it is looked whether the file has changed.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// The largest file, in bytes: far more than the most keys need.
const FILE_MAX: u64 = 1 << 20;

/// What tells one state of the file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    bytes: u64,
    modified_at: (i64, i64),
    changed_at: (i64, i64),
}

/// The file, and which state of it is in effect.
#[derive(Debug, Clone)]
pub(super) struct KeysFile {
    path: PathBuf,
    /// Keys of the configuration itself, which stay whatever the file says.
    configured: Vec<ApiKeyEntry>,
    /// The state that was read last, whether it could be used or not. `None`: it could not be looked at.
    read: Option<Version>,
}

impl KeysFile {
    /// Reads it for the first time: all keys, those of the configuration first.
    ///
    /// # Errors
    /// What is wrong with it, a line for each mistake.
    pub(super) fn open(
        path: &Path,
        configured: &[ApiKeyEntry],
    ) -> Result<(Self, Vec<ApiKeyEntry>), Vec<String>> {
        let read = version(path).ok();
        let file = Self { path: path.to_owned(), configured: configured.to_vec(), read };
        let entries = file.entries()?;
        Ok((file, entries))
    }

    /// Keeps the authenticator's keys to those of the file, until shutdown. A file that cannot be used is told once,
    /// and the keys of before stay.
    pub(super) async fn watch(mut self, authenticator: Authenticator, shutdown: CancellationToken) {
        let mut hangups = signal(SignalKind::hangup())
            .inspect_err(|error| tracing::warn!(%error, "SIGHUP does not reload the keys"))
            .ok();
        let mut tick = interval(POLL_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = self.read;
        loop {
            let hung_up = tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => false,
                Some(()) = hangup(hangups.as_mut()) => true,
            };
            let now = version(&self.path).ok();
            // A file that is being written is left alone until it has rested for a moment.
            let rests = now == seen;
            seen = now;
            if hung_up || (rests && now != self.read) {
                self.reload(now, &authenticator);
            }
        }
    }

    fn reload(&mut self, now: Option<Version>, authenticator: &Authenticator) {
        self.read = now;
        let path = self.path.display();
        match self.entries() {
            Ok(entries) => {
                let before = authenticator.ids();
                authenticator.replace(&entries);
                authenticator.file_is_stale(false);
                let ids: Vec<_> = entries.iter().map(|entry| entry.id.as_str()).collect();
                let added: Vec<_> =
                    ids.iter().copied().filter(|id| !before.iter().any(|it| it == id)).collect();
                let removed: Vec<_> = before.iter().filter(|id| !ids.contains(&id.as_str())).collect();
                tracing::info!(%path, keys = ids.len(), ?added, ?removed, "the API keys were read again");
            }
            Err(problems) => {
                authenticator.file_is_stale(true);
                let problems = problems.join("; ");
                tracing::error!(%path, problems, "auth.keys_file cannot be used; the keys of before stay");
            }
        }
    }

    /// All keys. A file without a single letter is one that somebody is about to write.
    fn entries(&self) -> Result<Vec<ApiKeyEntry>, Vec<String>> {
        let text = read(&self.path).map_err(|problem| vec![problem])?;
        if text.trim().is_empty() {
            return Err(vec!["it is empty; write `auth.keys = []` to take all keys back".to_owned()]);
        }
        let keys = ApiKeys::from_file(&text, &self.path)?;
        let mut entries = self.configured.clone();
        entries.extend(keys.into_entries());
        ApiKeyEntry::check_distinct(&entries)?;
        Ok(entries)
    }
}

/// The next SIGHUP; never, where none can be waited for.
async fn hangup(hangups: Option<&mut tokio::signal::unix::Signal>) -> Option<()> {
    match hangups {
        Some(hangups) => hangups.recv().await,
        None => std::future::pending().await,
    }
}

fn read(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("it cannot be read: {error}");
    let mut text = String::new();
    let file = fs::File::open(path).map_err(cannot)?;
    file.take(FILE_MAX + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > FILE_MAX {
        return Err(format!("it is larger than {FILE_MAX} bytes"));
    }
    Ok(text)
}

fn version(path: &Path) -> std::io::Result<Version> {
    let metadata: Metadata = fs::metadata(path)?;
    Ok(Version {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.size(),
        modified_at: (metadata.mtime(), metadata.mtime_nsec()),
        changed_at: (metadata.ctime(), metadata.ctime_nsec()),
    })
}
