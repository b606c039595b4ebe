//! The repository's files that promtool and the tests are given.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A path of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

pub(crate) fn read(path: &str) -> String {
    let path = repository(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The YAML files of a directory, sorted.
pub(crate) fn yaml_files(dir: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository(dir)).unwrap_or_else(|error| panic!("{dir}: {error}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a directory entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    assert!(!files.is_empty(), "{dir} has no YAML file");
    files
}
