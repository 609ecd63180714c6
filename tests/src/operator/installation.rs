//! A control plane with the charts installed: the definitions, and the operator's own permissions.

use crate::kubernetes::ControlPlane;
use anyhow::Context as _;
use std::ops::Deref;
use std::path::PathBuf;
use tokio::sync::OnceCell;

/// Namespace of the installation.
pub const SYSTEM: &str = "deepseek-system";

/// A control plane with the charts installed. No node runs the chart's own pods, so tests start the operator.
pub struct Installation {
    plane: ControlPlane,
    kubeconfig: PathBuf,
}

impl Deref for Installation {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        &self.plane
    }
}

impl Installation {
    /// The one that all tests of this process share; each test takes a namespace of its own and an operator that
    /// watches no other.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<Installation> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// One for the caller alone.
    pub async fn start() -> anyhow::Result<Self> {
        // Whoever comes first installs it for the HTTP clients of the whole test.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut installation = Self { plane: ControlPlane::start().await?, kubeconfig: PathBuf::new() };
        let chart = |name: &str| format!("{}/../charts/{name}", env!("CARGO_MANIFEST_DIR"));
        let crds = chart("deepseek-operator-crds");
        installation.helm(&["install", "deepseek-operator-crds", &crds]).await?.ok()?;
        let established = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"];
        installation.kubectl(&established).await?.ok()?;
        installation.kubectl(&["create", "namespace", SYSTEM]).await?.ok()?;
        let operator = chart("deepseek-operator");
        let install = ["install", "deepseek-operator", &operator, "--namespace", SYSTEM];
        let alone = ["--set", "gateway.create=false", "--set", "replicas=1"];
        installation.helm(&[&install[..], &alone[..]].concat()).await?.ok()?;
        let accounts =
            ["get", "serviceaccount", "-n", SYSTEM, "-l", "app.kubernetes.io/name=deepseek-operator"];
        let name = installation.kubectl(&[&accounts[..], &["-o", "name"]].concat()).await?.ok()?;
        let name = name.trim().strip_prefix("serviceaccount/").context("the chart made no ServiceAccount")?;
        installation.kubeconfig = installation.kubeconfig_for_service_account(SYSTEM, name).await?;
        Ok(installation)
    }

    /// A kubeconfig with what the chart permits the operator, and nothing else.
    pub fn operator_kubeconfig(&self) -> &PathBuf {
        &self.kubeconfig
    }
}
