//! A whole Kubernetes node that runs pods, in namespaces of its own on this machine.
//!
//! ```text
//! this machine ── 198.18.128+N.0/30 ──┐ network, mount and process namespaces
//!   tests reach the API server,       │   etcd, kube-apiserver, -controller-manager, -scheduler
//!   pods and Services directly        │   containerd ── pods 198.18.N.0/24
//!                                     │   kubelet, kube-proxy (nftables), CoreDNS, metrics-server
//! ```
//!
//! There is no way out but to this machine: pods cannot reach the network. Images come from archives.

mod agents;
mod sandbox;
mod slot;

use std::{
    net::Ipv4Addr,
    ops::Deref,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::Api;
use tokio::sync::OnceCell;

use self::{agents::Agents, sandbox::Sandbox, slot::Slot};
use super::{
    audit::Write,
    cluster::Cluster,
    components::Layout,
    image,
    janitor::Janitor,
    process::{Process, until_ready},
    programs::{Place, Programs},
    wait::try_eventually,
};

/// The node's name in Kubernetes.
const NAME: &str = "node1";

/// A running node; whatever a [`Cluster`] offers it offers too.
///
/// Dropping it leaves no process, mount, link, route, cgroup or file.
pub struct Node {
    cluster: Cluster,
    slot: Slot,
    place: Place,
    /// Dropped first: it ends every process inside at once.
    _sandbox: Sandbox,
    _agents: Vec<Process>,
    programs: Programs,
}

impl Deref for Node {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Node {
    /// The one that all tests of this process share; each test takes a [`Cluster::namespace`] of its own.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<Node> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::boot).await
    }

    /// Boots one for the caller alone, and waits until it takes pods.
    pub async fn boot() -> anyhow::Result<Self> {
        let start = Instant::now();
        let node = boot().await.context("failed to boot a Kubernetes node")?;
        eprintln!(
            "node ready in {:.1} s at {}",
            start.elapsed().as_secs_f32(),
            node.programs.layout.server()
        );
        Ok(node)
    }

    /// Makes the image in an OCI archive available to pods, whose `imagePullPolicy` must not be `Always`.
    pub async fn load_image(&self, archive: &Path) -> anyhow::Result<()> {
        agents::import(self.place, archive).await
    }

    /// The process number of the node's first process: who knows it can load images from another process.
    pub fn init(&self) -> u32 {
        match self.place {
            Place::Inside(pid) => pid,
            Place::Here => std::process::id(),
        }
    }

    /// This machine as pods see it: a server of a test that listens here can be reached by them.
    pub fn host_address(&self) -> Ipv4Addr {
        self.slot.host_address()
    }

    /// Waits until metrics-server knows how much CPU the node uses, as an autoscaler needs it.
    pub async fn wait_for_metrics(&self) -> anyhow::Result<()> {
        let client = self.client().await?;
        try_eventually("metrics-server has measured the node", Duration::from_mins(1), async || {
            let request =
                http::Request::get(format!("/apis/metrics.k8s.io/v1beta1/nodes/{NAME}")).body(Vec::new())?;
            client.request_text(request).await?;
            anyhow::Ok(())
        })
        .await
    }

    /// Kills the API server: connections break and new ones are refused; pods go on.
    pub fn stop_api_server(&self) -> anyhow::Result<()> {
        self.programs.stop_api_server()
    }

    /// Starts the API server again and waits until it is ready.
    pub async fn start_api_server(&self) -> anyhow::Result<()> {
        self.programs.start_api_server().await
    }

    /// Every write that the API server answered so far, oldest first.
    pub fn writes(&self) -> anyhow::Result<Vec<Write>> {
        self.programs.writes()
    }
}

/// As [`Node::load_image`], into the node of another process, by its [`Node::init`].
pub async fn load_image_into(init: u32, archive: &Path) -> anyhow::Result<()> {
    agents::import(Place::Inside(init), archive).await
}

async fn boot() -> anyhow::Result<Node> {
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    anyhow::ensure!(root, "a node needs root, for namespaces and mounts: run this as root");
    let pause = image::pause().await?;
    let (slot, lock) = Slot::claim()?;
    let traces = [format!("link:{}", slot.link()), format!("cgroup:{}", slot.cgroup())];
    let janitor = Arc::new(Janitor::start("deepseek-node-", Some(lock), &traces)?);
    sandbox::create_cgroup(&slot.cgroup())?;
    let layout = Layout {
        dir: janitor.dir().to_owned(),
        address: slot.node_address().into(),
        api_port: 6443,
        etcd_port: 2379,
        etcd_peer_port: 2380,
        service_prefix: slot.service_prefix(),
        has_node: true,
    };
    layout.write_files()?;
    let sandbox = Sandbox::create(slot, &janitor).await?;
    let place = sandbox.place;
    let agents = Agents { slot, place, janitor: &janitor };
    let mut containerd = agents.containerd()?;
    let (programs, loaded) = tokio::join!(
        Programs::start(layout, place, Arc::clone(&janitor)),
        agents::load_pause(place, &mut containerd, &pause)
    );
    let programs = programs?;
    loaded?;
    let mut running =
        vec![containerd, agents.scheduler(&programs.layout)?, agents.kubelet(&programs.layout)?];
    running.push(agents.coredns(&programs.layout)?);
    running.push(agents.metrics_server(&programs.layout)?);
    let cluster = programs.cluster();
    let manifest = agents.metrics_manifest();
    let (registered, applied) = tokio::join!(registered(&cluster, &mut running), cluster.apply(&manifest));
    registered?;
    applied?.ok().context("failed to apply metrics-server's objects")?;
    // It looks up its node once, when it starts.
    running.push(agents.kube_proxy(&programs.layout)?);
    ready(&cluster, &mut running).await?;
    Ok(Node { cluster, slot, place, _sandbox: sandbox, _agents: running, programs })
}

async fn registered(cluster: &Cluster, running: &mut [Process]) -> anyhow::Result<()> {
    let nodes: Api<NodeObject> = Api::all(cluster.client().await?);
    until_ready("the node has registered itself", running, async || {
        nodes.get(NAME).await?;
        Ok(())
    })
    .await
}

async fn ready(cluster: &Cluster, running: &mut [Process]) -> anyhow::Result<()> {
    let nodes: Api<NodeObject> = Api::all(cluster.client().await?);
    until_ready("the node takes pods", running, async || {
        let node = nodes.get(NAME).await?;
        let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
        let ready =
            conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
        anyhow::ensure!(ready && taints.is_empty(), "conditions {conditions:?}, taints {taints:?}");
        Ok(())
    })
    .await
}
