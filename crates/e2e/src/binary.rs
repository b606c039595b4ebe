//! Finds the binaries under test.

use std::{env, path::PathBuf};

/// The path of a workspace binary, or of `examples/<name>`, built beside the running test.
///
/// # Panics
///
/// If it has not been built.
pub fn binary(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a running test has a path");
    // target/<profile>/deps/<test>: the binaries lie one level up.
    let profile = test.parent().and_then(|deps| deps.parent()).expect("tests run from target/<profile>/deps");
    let path = profile.join(name);
    assert!(
        path.exists(),
        "{} is not built; run: cargo build --workspace --bins && cargo build -p e2e --examples",
        path.display()
    );
    path
}
