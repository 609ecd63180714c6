//! etcd, kube-apiserver and kube-controller-manager on loopback.

use std::{net::Ipv4Addr, ops::Deref, path::PathBuf, sync::Arc, time::Instant};

use anyhow::Context as _;
use kubernetes_assets::KUBECONFIG_VARIABLE;
use tokio::sync::OnceCell;

use super::{
    audit::Write,
    cluster::Cluster,
    components::Layout,
    janitor::Janitor,
    ports,
    programs::{Place, Programs},
};

/// How often to start over when somebody else takes a port first.
const ATTEMPTS: u32 = 3;

/// A Kubernetes API with RBAC, garbage collection and service accounts, but no node: pods stay pending.
///
/// Whatever a [`Cluster`] offers it offers too.
pub struct ControlPlane {
    cluster: Cluster,
    /// None when the cluster is somebody else's.
    programs: Option<Programs>,
}

impl Deref for ControlPlane {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl ControlPlane {
    /// The one that all tests of this process share; each test takes a [`Cluster::namespace`] of its own.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// Starts one for the caller alone; it is gone when dropped.
    pub async fn start() -> anyhow::Result<Self> {
        if let Some(kubeconfig) = std::env::var_os(KUBECONFIG_VARIABLE) {
            let scratch = tempfile::tempdir()?.keep();
            return Ok(Self { cluster: Cluster::new(PathBuf::from(kubeconfig), scratch), programs: None });
        }
        let start = Instant::now();
        let mut attempt = 1;
        let programs = loop {
            match start_programs().await {
                Ok(programs) => break programs,
                Err(error)
                    if attempt < ATTEMPTS && format!("{error:#}").contains("address already in use") =>
                {
                    attempt += 1;
                }
                Err(error) => return Err(error.context("failed to start a Kubernetes control plane")),
            }
        };
        eprintln!(
            "control plane ready in {:.1} s at {}",
            start.elapsed().as_secs_f32(),
            programs.layout.server()
        );
        Ok(Self { cluster: programs.cluster(), programs: Some(programs) })
    }

    /// Kills the API server: connections break and new ones are refused.
    pub fn stop_api_server(&self) -> anyhow::Result<()> {
        self.programs()?.stop_api_server()
    }

    /// Starts the API server again, at the same address and with the same data, and waits until it is ready.
    pub async fn start_api_server(&self) -> anyhow::Result<()> {
        self.programs()?.start_api_server().await
    }

    /// Every write that the API server answered so far, oldest first.
    pub fn writes(&self) -> anyhow::Result<Vec<Write>> {
        self.programs()?.writes()
    }

    fn programs(&self) -> anyhow::Result<&Programs> {
        let programs = self.programs.as_ref();
        programs
            .with_context(|| format!("{KUBECONFIG_VARIABLE} is set: that API server is not ours to touch"))
    }
}

async fn start_programs() -> anyhow::Result<Programs> {
    let [api_port, etcd_port, etcd_peer_port] = ports::free()?;
    let janitor = Arc::new(Janitor::start("deepseek-control-plane-", None, &[])?);
    let layout = Layout {
        dir: janitor.dir().to_owned(),
        address: Ipv4Addr::LOCALHOST.into(),
        api_port,
        etcd_port,
        etcd_peer_port,
        service_prefix: [198, 19, 255],
        has_node: false,
    };
    layout.write_files()?;
    Programs::start(layout, Place::Here, janitor).await
}
