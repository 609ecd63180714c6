//! Processes of pods, which this machine sees as its own: what happens to them happens without Kubernetes' knowing.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::Context as _;
use deepseek_tests::kubernetes::try_eventually;

use super::site::GatewayPod;

/// A process of a pod.
pub struct Process(PathBuf);

impl Process {
    /// The process of a gateway pod.
    pub fn of_gateway(pod: &GatewayPod) -> anyhow::Result<Self> {
        Self::find("deepseek-gateway", &pod.name)
    }

    /// The process that runs `program` in the pod of this name.
    pub fn find(program: &str, pod: &str) -> anyhow::Result<Self> {
        // The host name of a pod is its own name.
        let variable = format!("HOSTNAME={pod}");
        let is_it = |process: &PathBuf| {
            let runs = std::fs::read_link(process.join("exe")).is_ok_and(|path| path.ends_with(program));
            let variables = std::fs::read(process.join("environ")).unwrap_or_default();
            runs && variables.split(|byte| *byte == 0).any(|it| it == variable.as_bytes())
        };
        let found = std::fs::read_dir("/proc")?.flatten().map(|entry| entry.path()).find(is_it);
        Ok(Self(found.with_context(|| format!("no process {program} of the pod {pod}"))?))
    }

    /// Sends it a signal, such as `STOP`.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let id = self.0.file_name().context("a path in /proc has a name")?;
        let sent = Command::new("kill").arg(format!("-{name}")).arg(id).status()?;
        anyhow::ensure!(sent.success(), "kill -{name} {} failed", id.display());
        Ok(())
    }

    /// Ends it at once, and returns when it is gone.
    pub async fn kill(self) -> anyhow::Result<()> {
        self.signal("KILL")?;
        try_eventually("the process is gone", Duration::from_secs(10), async || {
            anyhow::ensure!(!self.0.join("exe").exists(), "it is still there");
            anyhow::Ok(())
        })
        .await
    }
}
