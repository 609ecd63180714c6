//! cargo-deny, which looks at the licences and the sources of all that is built in.

use std::path::PathBuf;

use anyhow::Context as _;
use kubernetes_assets::{cache_dir, cargo};

use crate::tools::Progress;

/// The version, which does not move by itself.
const VERSION: &str = "0.20.2";

/// Where it is kept.
pub(crate) fn program() -> PathBuf {
    folder().join("bin/cargo-deny")
}

fn folder() -> PathBuf {
    cache_dir().join(format!("cargo-deny-{VERSION}"))
}

/// Builds it unless it is there.
pub(super) fn install(progress: &Progress) -> anyhow::Result<()> {
    if program().is_file() {
        return Ok(());
    }
    let mut install = cargo("install");
    install.args(["cargo-deny", "--version", VERSION, "--locked", "--quiet", "--root"]).arg(folder());
    progress
        .run("building cargo-deny", &mut install)
        .context("failed to build cargo-deny: it comes from crates.io (or its mirror) by network")
}
