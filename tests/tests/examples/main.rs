//! What the repository shows to its users, held against what it does.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod manifests;
mod pages;

use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}
