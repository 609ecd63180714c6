//! The client libraries for Node.

use std::{fs, process::Command};

use anyhow::Context as _;
use kubernetes_assets::{CLIENT_PACKAGE, CLIENT_PACKAGE_LOCK, cache_dir, client_modules, client_node_folder};

use crate::tools::Progress;

/// Installs what the lock says unless it is there: in a folder beside, moved into place when it is complete.
pub(super) fn install(progress: &Progress) -> anyhow::Result<()> {
    if client_modules().is_ok() {
        return Ok(());
    }
    let folder = client_node_folder();
    let unfinished = cache_dir().join("clients-node.unfinished");
    // What a run left that was interrupted.
    for leftover in [&unfinished, &folder] {
        if leftover.exists() {
            fs::remove_dir_all(leftover)
                .with_context(|| format!("failed to remove {}", leftover.display()))?;
        }
    }
    fs::create_dir_all(&unfinished).with_context(|| format!("failed to create {}", unfinished.display()))?;
    for (name, content) in [("package.json", CLIENT_PACKAGE), ("package-lock.json", CLIENT_PACKAGE_LOCK)] {
        fs::write(unfinished.join(name), content).with_context(|| format!("failed to write {name}"))?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(&unfinished).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    progress
        .run("installing the client libraries for Node from npm", &mut npm)
        .context("failed to install the client libraries for Node: they come by network, as npm is set up")?;
    fs::rename(&unfinished, &folder).with_context(|| format!("failed to make {}", folder.display()))
}
