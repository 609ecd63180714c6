//! The demo on a Kubernetes of its own. The node is the test harness's, in a program of its own: building it takes too
//! long for a command that somebody else waits for.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use kubernetes_assets::Tier;
use rustix::process::{Pid, Signal, kill_process};

use super::{page, quickstart::Quickstart};
use crate::{cargo, setup, signals::Asked, tools::Progress};

/// Where pods find the fake DeepSeek.
const FAKE: &str = "http://fake-deepseek.default.svc:8080";

pub(super) fn run() -> anyhow::Result<()> {
    setup::prepare(Tier::Node)?;
    let progress = Progress::start("demo");
    progress.say("building the test harness, which brings the node");
    let built = cargo::build(&["--bin", "demo-kubernetes"])?;

    let asked = Asked::listen()?;
    let folder = tempfile::Builder::new().prefix("deepseek-demo-").tempdir()?;
    let quickstart = Quickstart::read(FAKE)?;
    quickstart.write(folder.path())?;
    let Quickstart { model, api_key, .. } = &quickstart;
    let call = page::how_to_call("{endpoint}", model, api_key);
    fs::write(folder.path().join("how-to-call"), call).context("failed to write the call")?;
    let mut command = Command::new(cargo::program(&built, "demo-kubernetes")?);
    // Ctrl-C in the terminal reaches it too; it takes the first signal only.
    let mut child = command.arg(folder.path()).stdin(Stdio::null()).spawn()?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if asked.within(Duration::from_millis(200))
            && let Some(pid) = Pid::from_raw(i32::try_from(child.id())?)
        {
            progress.say("stopping");
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
            break child.wait()?;
        }
    };
    folder.close().context("failed to remove the demo's folder")?;
    anyhow::ensure!(status.success(), "the demo ended with {status}");
    Ok(())
}
