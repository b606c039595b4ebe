//! The file that holds a run's admin token: where the services read it, and whoever starts one of them by hand.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

const NAME: &str = "admin-token";

/// The file, readable for its owner alone; removed when dropped.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    /// The directory that was made for it, if it has one of its own.
    _dir: Option<TempDir>,
}

impl TokenFile {
    /// Writes it into `dir`, else into a directory of its own.
    pub(super) fn write(dir: Option<&Path>, token: &str) -> io::Result<Self> {
        let own = match dir {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("orderflow-").tempdir()?),
        };
        let path = dir.or(own.as_ref().map(TempDir::path)).unwrap_or(Path::new("/")).join(NAME);
        // One left over by a run that was killed keeps its mode: it goes first.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        writeln!(file, "{token}")?;
        Ok(Self { path, _dir: own })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        // The token is of no use once the services are gone.
        _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn nobody_else_reads_it_and_it_goes_with_the_run() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), "left over").unwrap();
        for dir in [Some(dir.path()), None] {
            let file = TokenFile::write(dir, "0123456789abcdef").unwrap();
            let path = file.path().to_owned();
            assert_eq!(fs::read_to_string(&path).unwrap(), "0123456789abcdef\n");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            drop(file);
            assert!(!path.exists());
        }
    }
}
