//! The Redis users that services come as: those of `deploy/redis`, each with the rights of its service alone.

use std::{path::Path, process::Command, sync::LazyLock};

use tempfile::TempDir;

/// The rules, as a script of the repository makes them.
static MADE: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = TempDir::with_prefix("orderflow-users-").expect("a temporary directory can be made");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/redis/make-users.sh");
    let made = Command::new(script).arg(dir.path()).output().expect("make-users.sh can be run");
    assert!(made.status.success(), "make-users.sh: {}", String::from_utf8_lossy(&made.stderr));
    dir
});

/// The users of the services and of the operator for the stream `events:orders`, as lines of an ACL file.
pub fn users() -> String {
    let file = std::fs::read_to_string(MADE.path().join("users.acl")).expect("make-users.sh made it");
    let of_people = |line: &&str| line.starts_with("user default ") || line.starts_with("user admin ");
    file.lines().filter(|line| !of_people(line)).collect::<Vec<_>>().join("\n")
}

/// A user's password.
pub fn password(user: &str) -> String {
    std::fs::read_to_string(MADE.path().join(format!("{user}.password"))).expect("make-users.sh made it")
}
