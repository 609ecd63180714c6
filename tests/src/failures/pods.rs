//! Several pods of one gateway without a Kubernetes: each starts from the configuration that the operator would have
//! written, as a restarted pod does while the API server is away.

use crate::calls::client;
use crate::compiled::compiled;
use crate::gateway::Gateway;
use crate::kubernetes::try_eventually;
use anyhow::{Result, anyhow, ensure};
use deepseek_config::compile::Output;
use deepseek_config::document::{Kind, ObjectId};
use k8s_openapi::ByteString;
use serde_json::json;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use tempfile::TempDir;

/// An API server that is not there.
const AWAY: &str = "apiVersion: v1
kind: Config
current-context: away
clusters: [{name: away, cluster: {server: 'http://127.0.0.1:9'}}]
contexts: [{name: away, context: {cluster: away, user: nobody}}]
users: [{name: nobody, user: {}}]
";

/// A pod, and the disk it started from.
pub struct Pod {
    /// Its gateway.
    pub gateway: Gateway,
    _disk: TempDir,
}

/// `count` pods that serve `manifests`, each with its part of every limit.
pub async fn pods(manifests: &str, count: u32) -> Result<Vec<Pod>> {
    let mut pods = Vec::new();
    for _ in 0..count {
        pods.push(pod(manifests, count).await?);
    }
    Ok(pods)
}

async fn pod(manifests: &str, count: u32) -> Result<Pod> {
    let disk = tempfile::tempdir()?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let gateway = format!(
        "{manifests}---\napiVersion: deepseekroute.io/v1alpha1\nkind: DeepSeekGateway\nmetadata: {{name: default, \
         namespace: default}}\nspec: {{default: true, listeners: [{{name: http, port: {port}, protocol: HTTP}}]}}\n"
    );
    let id = ObjectId::new(Kind::Gateway, "default", "default");
    let outputs = compiled(&gateway, |world| drop(world.set_pods(&id, count)))?;
    std::fs::write(disk.path().join("last-good.jsonl"), last_good(&outputs)?)?;
    let kubeconfig = disk.path().join("kubeconfig");
    std::fs::write(&kubeconfig, AWAY)?;
    let arguments = ["--gateway", "default", "--namespace", "default", "--last-good", text(disk.path())?];
    let gateway = Gateway::cluster(&kubeconfig, &arguments, port).await?;
    try_eventually("the pod is ready", super::stage::SOON, async || {
        let status = client().get(gateway.admin_url("/readyz")).send().await?.status();
        ensure!(status == 200, "{status}: {}", gateway.logs());
        Ok(())
    })
    .await?;
    Ok(Pod { gateway, _disk: disk })
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| anyhow!("{} is not UTF-8", path.display()))
}

/// What the operator would write, as a pod keeps it on its disk.
fn last_good(outputs: &[Output]) -> Result<String> {
    let mut lines = String::new();
    for (id, value) in outputs.iter().flat_map(|output| &output.keys) {
        writeln!(lines, "{}", json!({"key": {"id": id, "value": ByteString(value.clone())}}))?;
    }
    for Output { document, .. } in outputs {
        let encoded = document.encode()?;
        let line = json!({"document": {"id": document.id, "json": encoded.json, "sha256": encoded.sha256}});
        writeln!(lines, "{line}")?;
    }
    Ok(lines)
}
