//! The Debian packages.

use std::{os::unix::fs::MetadataExt as _, path::Path, process::Command};

use anyhow::Context as _;
use kubernetes_assets::DebianProgram;

use crate::tools::Progress;

/// Packages that start a server of their own when installed, and its service. The tests start theirs on free ports.
const SERVICES: [(&str, &str); 4] = [
    ("redis-server", "redis-server"),
    ("etcd-server", "etcd"),
    ("containerd", "containerd"),
    ("nginx-light", "nginx"),
];

/// Installs the packages of those `programs` that are missing.
pub(super) fn install<'a>(
    programs: impl Iterator<Item = &'a DebianProgram>,
    progress: &Progress,
) -> anyhow::Result<()> {
    let missing = programs.filter(|program| !program.is_installed());
    let packages: Vec<&str> = missing.map(|program| program.package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    let by_hand = format!("install them yourself (apt-get install {list}) and run this again");
    anyhow::ensure!(
        Path::new("/usr/bin/apt-get").exists(),
        "missing programs of the Debian packages {list}, and there is no apt-get here: {by_hand}"
    );
    anyhow::ensure!(
        is_root(),
        "missing Debian packages {list}, and only root may install them: run this as root, or {by_hand}"
    );
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-y"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    progress
        .run("fetching Debian's package lists", &mut apt(&["update"]))
        .with_context(|| format!("failed to fetch Debian's package lists; without a network: {by_hand}"))?;
    let mut install = apt(&["install", "--no-install-recommends"]);
    progress.run(&format!("installing Debian packages: {list}"), install.args(&packages)).with_context(
        || format!("failed to install Debian packages: correct what apt-get says, or {by_hand}"),
    )?;
    for (_, service) in SERVICES.iter().filter(|(package, _)| packages.contains(package)) {
        // A machine without services has none to stop.
        let _ = Command::new("service").args([service, "stop"]).output();
    }
    Ok(())
}

/// The owner of our own entry in /proc is who we are.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
