//! What a running `orderflow up` with a Redis of its own leaves in `.orderflow/` for the other subcommands.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The directory, below the current one, that holds the embedded Redis's data and the record.
pub(crate) const DATA_DIR: &str = ".orderflow";

/// Where to find what `orderflow up` runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// URL of the embedded Redis. It has no password: it listens on loopback alone.
    pub(crate) redis_url: String,
    /// Process ID of the embedded Redis.
    pub(crate) redis_pid: u32,
    /// Key of the stream.
    pub(crate) stream: String,
    /// Where producer-api listens.
    pub(crate) producer: SocketAddr,
    /// Where analytics-worker's API listens.
    #[serde(default)]
    pub(crate) analytics: Option<SocketAddr>,
    /// Token of the workers' levers.
    #[serde(default)]
    pub(crate) admin_token: String,
}

impl Record {
    /// The record of an `orderflow up` that runs from the current directory.
    pub(crate) fn of_running_here() -> Option<Self> {
        let dir = Path::new(DATA_DIR);
        // The lock ends with the process that holds it, so that a crash leaves no false record.
        if is_locked(dir) { Self::read(dir) } else { None }
    }

    /// The record in a data directory, of a running `orderflow up` or of one that could not remove it.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(record_path(dir)).ok()?).ok()
    }

    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        // Renamed into place, so that nobody reads half of it.
        let unfinished = dir.join("up.json.new");
        // It holds a token. One left over by a run that was killed keeps its mode: it goes first.
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        fs::rename(unfinished, record_path(dir))
    }

    pub(crate) fn remove(dir: &Path) {
        // What cannot be removed is not believed either once the lock is gone.
        _ = fs::remove_file(record_path(dir));
    }
}

/// The file whose lock an `orderflow up` holds.
pub(crate) fn lock_path(dir: &Path) -> PathBuf {
    dir.join("lock")
}

fn record_path(dir: &Path) -> PathBuf {
    dir.join("up.json")
}

fn is_locked(dir: &Path) -> bool {
    let Ok(file) = File::open(lock_path(dir)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_record_is_read_back_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record {
            redis_url: "redis://127.0.0.1:16379/".to_owned(),
            redis_pid: 42,
            stream: "demo:events:orders".to_owned(),
            producer: ([127, 0, 0, 1], 8080).into(),
            analytics: Some(([127, 0, 0, 1], 8081).into()),
            admin_token: "0123456789abcdef".to_owned(),
        };
        assert_eq!(Record::read(dir.path()), None);
        record.write(dir.path()).unwrap();
        let mode = fs::metadata(record_path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "nobody else reads the token");
        assert_eq!(Record::read(dir.path()), Some(record));
        Record::remove(dir.path());
        assert_eq!(Record::read(dir.path()), None);
    }
}
