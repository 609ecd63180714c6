//! The operator as a process.

use super::installation::{Installation, SYSTEM};
use crate::binaries::bin;
use crate::kubernetes::try_eventually;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// How long it may take to be ready on a busy machine.
const START: Duration = Duration::from_mins(1);

/// A running operator; killed when dropped.
pub struct Operator {
    child: Child,
    directory: TempDir,
    admin: SocketAddr,
}

impl Operator {
    /// Starts an operator that watches `namespaces` alone and always leads; returns when it is ready.
    pub async fn start(installation: &Installation, namespaces: &[&str]) -> Result<Self> {
        let watch = format!("--watch-namespaces={}", namespaces.join(","));
        let operator =
            Self::spawn(installation.operator_kubeconfig(), &[&watch, "--leader-elect=false"]).await?;
        operator.ready().await?;
        Ok(operator)
    }

    /// The same, logging as users have it.
    pub async fn start_quiet(installation: &Installation, namespaces: &[&str]) -> Result<Self> {
        let watch = format!("--watch-namespaces={}", namespaces.join(","));
        let arguments = [watch.as_str(), "--leader-elect=false", "--log-level=info"];
        let operator = Self::spawn(installation.operator_kubeconfig(), &arguments).await?;
        operator.ready().await?;
        Ok(operator)
    }

    /// Starts an operator with `kubeconfig` and `arguments`; returns when its admin port listens.
    pub async fn spawn(kubeconfig: &Path, arguments: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let log = File::create(directory.path().join("log"))?;
        let child = Command::new(bin("deepseek-operator"))
            .args(["run", "--namespace", SYSTEM, "--admin-address", "127.0.0.1:0"])
            .env("LOG_LEVEL", "debug")
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let mut operator = Self { child, directory, admin: ([127, 0, 0, 1], 0).into() };
        operator.admin = try_eventually("the operator's admin port listens", START, async || {
            let line =
                operator.records()?.into_iter().find(|record| record["message"] == "admin listener is up");
            let line = line.with_context(|| operator.log())?;
            Ok::<SocketAddr, anyhow::Error>(line["address"].as_str().context("no address")?.parse()?)
        })
        .await?;
        Ok(operator)
    }

    /// Waits until it is ready.
    pub async fn ready(&self) -> Result<()> {
        try_eventually("the operator is ready", START, async || {
            let (status, text) = self.admin("/readyz").await?;
            if status != 200 {
                bail!("{text}{}", self.log());
            }
            Ok(())
        })
        .await
    }

    /// Answer of its admin port.
    pub async fn admin(&self, path: &str) -> Result<(u16, String)> {
        let answer = reqwest::get(format!("http://{}{path}", self.admin)).await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// The value of the metric whose line starts with `series`; 0 when there is none.
    pub async fn metric(&self, series: &str) -> Result<f64> {
        let (_, text) = self.admin("/metrics").await?;
        let line =
            text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        Ok(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default())
    }

    /// Everything it has printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Everything it has logged; a line that is not JSON is an error.
    pub fn records(&self) -> Result<Vec<Value>> {
        let log = self.log();
        // A line that is being written has no end yet.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")))
            .collect()
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> Result<u64> {
        self.memory_of("VmRSS:")
    }

    /// Resident memory in bytes when it was highest.
    pub fn peak_memory(&self) -> Result<u64> {
        self.memory_of("VmHWM:")
    }

    fn memory_of(&self, field: &str) -> Result<u64> {
        let pid = self.child.id().context("the operator has exited")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes * 1024)
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child.id().context("the operator has exited")?;
        let sent =
            std::process::Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status()?;
        if sent.success() { Ok(()) } else { bail!("kill -{name} {pid} failed") }
    }

    /// Waits for it to exit.
    pub async fn exited(&mut self, within: Duration) -> Result<ExitStatus> {
        let waited = tokio::time::timeout(within, self.child.wait()).await;
        Ok(waited.with_context(|| format!("still running after {within:?}: {}", self.log()))??)
    }
}
