//! The real gateway as a process: standalone on loopback, or as the one process of a pod.

use crate::binaries::bin;
use anyhow::{Context as _, Result, bail};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// How long it may take to print where it listens.
const START: Duration = Duration::from_secs(20);

/// A running gateway; killed when dropped.
pub struct Gateway {
    child: Child,
    manifests: TempDir,
    address: SocketAddr,
    admin: SocketAddr,
    output: Output,
}

/// What the process has printed.
#[derive(Clone)]
struct Output {
    text: Arc<Mutex<String>>,
    lines: Arc<watch::Sender<usize>>,
}

impl Gateway {
    /// Serves `manifests` (YAML documents) on free ports; returns when it listens.
    pub async fn standalone(manifests: &str) -> Result<Self> {
        Self::standalone_with(manifests, &[]).await
    }

    /// The same, with more arguments.
    pub async fn standalone_with(manifests: &str, arguments: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join("manifests.yaml"), manifests)?;
        let mut command = Command::new(bin("deepseek-gateway"));
        command.arg("standalone").arg(directory.path());
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).args(arguments);
        let (child, output) = start(command)?;
        let address = output.url_after("listening on ").await?;
        let admin = output.url_after("admin on ").await?;
        Ok(Self { child, manifests: directory, address, admin, output })
    }

    /// Serves what ConfigMaps hold, reached through `kubeconfig`; returns when its admin port is open, which is before
    /// anything is loaded. `port` is that of its first listener.
    pub async fn cluster(kubeconfig: &Path, arguments: &[&str], port: u16) -> Result<Self> {
        let mut command = Command::new(bin("deepseek-gateway"));
        command.env("KUBECONFIG", kubeconfig).arg("cluster").args(["--admin", "127.0.0.1:0"]).args(arguments);
        let (child, output) = start(command)?;
        let line = output.wait_for("\"admin port open\"").await?;
        let logged: serde_json::Value = serde_json::from_str(&line)?;
        let url = logged["url"].as_str().and_then(|url| url.strip_prefix("http://"));
        let admin = url.context("the log names the admin port")?.parse()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Ok(Self { child, manifests: tempfile::tempdir()?, address, admin, output })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL of the API.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A URL of the admin port.
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    /// The directory of its manifests; what a test writes there is reloaded.
    pub fn directory(&self) -> &Path {
        self.manifests.path()
    }

    /// Everything it has printed so far.
    pub fn logs(&self) -> String {
        self.output.text.lock().clone()
    }

    /// Waits until a line with `text` was printed.
    pub async fn wait_for_log(&self, text: &str) -> Result<()> {
        self.output.wait_for(text).await.map(drop)
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) -> Result<()> {
        let pid = self.pid().context("the gateway has exited")?;
        let sent =
            std::process::Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status()?;
        if sent.success() { Ok(()) } else { bail!("kill -{name} {pid} failed") }
    }

    /// Waits for it to exit.
    pub async fn exited(&mut self, within: Duration) -> Result<ExitStatus> {
        let waited = tokio::time::timeout(within, self.child.wait()).await;
        Ok(waited.with_context(|| format!("still running after {within:?}: {}", self.logs()))??)
    }
}

fn start(mut command: Command) -> Result<(Child, Output)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let output = Output { text: Arc::default(), lines: Arc::new(watch::Sender::new(0)) };
    output.follow(child.stdout.take().context("standard output is piped")?);
    output.follow(child.stderr.take().context("standard error is piped")?);
    Ok((child, output))
}

impl Output {
    fn follow(&self, from: impl AsyncRead + Unpin + Send + 'static) {
        let output = self.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(from).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut text = output.text.lock();
                text.push_str(&line);
                text.push('\n');
                drop(text);
                output.lines.send_modify(|count| *count += 1);
            }
        });
    }

    async fn wait_for(&self, wanted: &str) -> Result<String> {
        let mut lines = self.lines.subscribe();
        let found = || self.text.lock().lines().find(|line| line.contains(wanted)).map(str::to_owned);
        let waiting = async {
            loop {
                if let Some(line) = found() {
                    return line;
                }
                // The sender lives as long as `self`.
                let _ = lines.changed().await;
            }
        };
        let line = tokio::time::timeout(START, waiting).await;
        line.with_context(|| {
            format!("no line with {wanted:?} within {START:?}; it printed:\n{}", self.text.lock())
        })
    }

    async fn url_after(&self, prefix: &str) -> Result<SocketAddr> {
        let line = self.wait_for(prefix).await?;
        let url = line.split_once(prefix).map_or("", |(_, url)| url.trim());
        let authority = url.split("://").nth(1).unwrap_or(url);
        authority.parse().with_context(|| format!("{line:?} names no address"))
    }
}
