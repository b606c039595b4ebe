//! Finds programs: the services beside this one or in PATH, and a Redis server.

use std::{
    env,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::service::SERVICES;

/// Names the Redis server's program.
const REDIS_VARIABLE: &str = "ORDERFLOW_REDIS_SERVER";

/// The services' programs, in the order of [`SERVICES`].
#[derive(Debug)]
pub(super) struct Programs(Vec<PathBuf>);

impl Programs {
    /// The error names every program that is missing and how to build it.
    pub(super) fn find() -> anyhow::Result<Self> {
        let this = env::current_exe().context("cannot tell where this program is")?;
        let beside = this.parent().unwrap_or(Path::new("/"));
        let found = |name: &str| executable(&beside.join(name)).or_else(|| in_path(name));
        let programs = SERVICES.map(|service| found(service.name));
        let pairs = || SERVICES.iter().zip(&programs);
        let missing: Vec<_> =
            pairs().filter(|(_, found)| found.is_none()).map(|(service, _)| service.name).collect();
        anyhow::ensure!(missing.is_empty(), "{}", missing_message(&missing, beside));
        Ok(Self(programs.into_iter().flatten().collect()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(PathBuf::as_path)
    }
}

fn missing_message(missing: &[&str], beside: &Path) -> String {
    let release = if beside.ends_with("release") { " --release" } else { "" };
    format!(
        "cannot find {} in {} or in PATH; in the Orderflow sources, build with `cargo build{release} --bin {}`",
        missing.join(", "),
        beside.display(),
        missing.join(" --bin ")
    )
}

/// A Redis server's program; the error says what to install.
pub(super) fn redis_server() -> anyhow::Result<PathBuf> {
    if let Some(named) = env::var_os(REDIS_VARIABLE).filter(|named| !named.is_empty()) {
        let path = Path::new(&named);
        // Like a shell: a name without a slash is looked for in PATH.
        let found = match named.to_str() {
            Some(name) if !name.contains('/') => in_path(name),
            _ => executable(path),
        };
        return found.with_context(|| format!("{REDIS_VARIABLE}={}: no such program", path.display()));
    }
    in_path("redis-server").or_else(|| in_path("valkey-server")).with_context(|| {
        format!(
            "no Redis URL is given, and there is neither redis-server nor valkey-server in PATH to start one.\n\
             Install Redis 7.0 or later, or Valkey:\n  \
             Debian, Ubuntu:  sudo apt-get install redis-server\n  \
             Fedora:          sudo dnf install valkey\n  \
             macOS:           brew install redis\n\
             or name the program with {REDIS_VARIABLE}, or a running server with --redis-url"
        )
    })
}

fn in_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).find_map(|dir| executable(&dir.join(name)))
}

fn executable(path: &Path) -> Option<PathBuf> {
    let metadata = path.metadata().ok()?;
    (metadata.is_file() && metadata.permissions().mode() & 0o111 != 0).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_service_says_how_to_build_it() {
        let message = missing_message(&["reaper", "producer-api"], Path::new("/x/target/release"));
        assert_eq!(
            message,
            "cannot find reaper, producer-api in /x/target/release or in PATH; in the Orderflow sources, build \
             with `cargo build --release --bin reaper --bin producer-api`"
        );
    }

    #[test]
    fn a_directory_or_a_text_is_no_program() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!((executable(dir.path()), executable(&file)), (None, None));
        assert!(in_path("sh").is_some());
    }
}
