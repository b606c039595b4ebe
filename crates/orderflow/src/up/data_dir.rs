//! The data directory of the embedded Redis: made if need be, used by one `orderflow up` at a time.

use std::{
    fs::{self, File, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use tokio::time::sleep;

use crate::embedded_record::{DATA_DIR, lock_path};

/// Another subcommand holds the lock for an instant while it looks whether somebody else does.
const LOCK_ATTEMPTS: u32 = 10;
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

/// `.orderflow/` of the current directory, locked for as long as the value lives.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    pub(super) async fn open() -> anyhow::Result<Self> {
        let path = std::path::absolute(DATA_DIR).context("cannot tell the current directory")?;
        let describe = || format!("cannot use {}", path.display());
        fs::create_dir_all(path.join("redis")).with_context(describe)?;
        // Data has no business in anybody's repository.
        fs::write(path.join(".gitignore"), "*\n").with_context(describe)?;
        let lock = lock(&path).await?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where Redis keeps its append-only file.
    pub(super) fn redis(&self) -> PathBuf {
        self.path.join("redis")
    }

    /// Redis's output; that of the run before is kept beside it.
    pub(super) fn new_log(&self) -> anyhow::Result<File> {
        let log = self.log();
        // There is none before the first run.
        _ = fs::rename(&log, self.path.join("redis.log.1"));
        File::create(&log).with_context(|| format!("cannot write {}", log.display()))
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("redis.log")
    }
}

async fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = lock_path(dir);
    let describe = || format!("cannot lock {}", path.display());
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.as_mut().map_err(|error| std::io::Error::new(error.kind(), error.to_string()));
    let file = file.with_context(describe)?;
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0).with_context(describe)?;
                write!(file, "{}", std::process::id()).with_context(describe)?;
                return file.try_clone().with_context(describe);
            }
            Err(TryLockError::WouldBlock) => sleep(LOCK_INTERVAL).await,
            Err(TryLockError::Error(error)) => return Err(error).with_context(describe),
        }
    }
    let mut holder = String::new();
    // The process ID is a help, not more.
    _ = file.rewind().and_then(|()| file.read_to_string(&mut holder));
    let holder = if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
    anyhow::bail!(
        "another `orderflow up`{holder} uses {}; stop it, or start this one in another directory",
        dir.display()
    )
}
