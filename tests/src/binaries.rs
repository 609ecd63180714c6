//! The binaries under test, found beside the test itself: built by `cargo xtask test`, or by
//! `cargo build --workspace`.

use std::path::PathBuf;

/// Path of binary `name`.
///
/// # Panics
/// When it was not built: a test that quietly skipped would prove nothing.
pub fn bin(name: &str) -> PathBuf {
    let mut directory = std::env::current_exe().expect("a test has a path");
    directory.pop();
    if directory.ends_with("deps") {
        directory.pop();
    }
    let path = directory.join(name);
    assert!(path.exists(), "{} is missing: run cargo build --workspace first", path.display());
    path
}
