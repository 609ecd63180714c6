//! The Python environment of the client tests.

use std::{fs, process::Command};

use anyhow::Context as _;
use kubernetes_assets::{CLIENT_REQUIREMENTS, client_environment, client_python};

use crate::tools::Progress;

/// Makes the environment unless it is there.
pub(super) fn install(progress: &Progress) -> anyhow::Result<()> {
    if client_python().is_ok() {
        return Ok(());
    }
    let environment = client_environment();
    let list = environment.join("requirements.txt");
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(&environment);
    progress.run("making a Python environment for the client libraries", &mut create).context(
        "failed to make a Python environment: install python3-venv (Python 3.9 or newer) and run this again",
    )?;
    fs::write(&list, CLIENT_REQUIREMENTS).with_context(|| format!("failed to write {}", list.display()))?;
    let mut install = Command::new(environment.join("bin/python"));
    install
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"])
        .arg(&list);
    progress.run("installing the client libraries from PyPI", &mut install).context(
        "failed to install the client libraries: they come from PyPI (or PIP_INDEX_URL) by network",
    )?;
    fs::write(environment.join("complete"), "").context("failed to mark the Python environment as complete")
}
