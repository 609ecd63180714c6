//! etcd, kube-apiserver and kube-controller-manager on loopback.

use std::{
    ffi::OsString,
    net::Ipv4Addr,
    ops::Deref,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use kubernetes_assets::{KUBECONFIG_VARIABLE, program};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::{
    audit::{self, Write},
    cluster::Cluster,
    components::Layout,
    janitor::Janitor,
    ports,
    process::Process,
    wait::try_eventually,
};

/// How long a program may take to be ready on a machine that is busy with other tests.
const START_DEADLINE: Duration = Duration::from_mins(1);
/// How often to start over when somebody else takes a port first.
const ATTEMPTS: u32 = 3;

/// A Kubernetes API with RBAC, garbage collection and service accounts, but no node: pods stay pending.
///
/// Whatever a [`Cluster`] offers it offers too.
pub struct ControlPlane {
    cluster: Cluster,
    /// None when the cluster is somebody else's.
    own: Option<Own>,
}

/// What we started; fields are dropped in this order: the programs, then the folder they work in.
struct Own {
    api_server: Mutex<Option<Process>>,
    _controller_manager: Process,
    _etcd: Process,
    layout: Layout,
    janitor: Arc<Janitor>,
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
            return Ok(Self { cluster: Cluster::new(PathBuf::from(kubeconfig), scratch), own: None });
        }
        let start = Instant::now();
        let mut attempt = 1;
        let own = loop {
            match Own::start().await {
                Ok(own) => break own,
                Err(error)
                    if attempt < ATTEMPTS && format!("{error:#}").contains("address already in use") =>
                {
                    attempt += 1;
                }
                Err(error) => return Err(error.context("failed to start a Kubernetes control plane")),
            }
        };
        eprintln!("control plane ready in {:.1} s at {}", start.elapsed().as_secs_f32(), own.layout.server());
        let cluster = Cluster::new(own.layout.kubeconfig("admin"), own.janitor.dir().to_owned());
        Ok(Self { cluster, own: Some(own) })
    }

    /// Kills the API server: connections break and new ones are refused.
    pub fn stop_api_server(&self) -> anyhow::Result<()> {
        self.own()?.api_server.lock().take().context("the API server is not running")?;
        Ok(())
    }

    /// Starts the API server again, at the same address and with the same data, and waits until it is ready.
    pub async fn start_api_server(&self) -> anyhow::Result<()> {
        let own = self.own()?;
        anyhow::ensure!(own.api_server.lock().is_none(), "the API server is running");
        let mut process = own.spawn("kube-apiserver", &own.layout.api_server())?;
        wait_until_ready(&self.cluster, &mut process).await?;
        *own.api_server.lock() = Some(process);
        Ok(())
    }

    /// Every write that the API server answered so far, oldest first.
    pub fn writes(&self) -> anyhow::Result<Vec<Write>> {
        audit::read(&self.own()?.layout.audit_log())
    }

    fn own(&self) -> anyhow::Result<&Own> {
        self.own
            .as_ref()
            .with_context(|| format!("{KUBECONFIG_VARIABLE} is set: that API server is not ours to touch"))
    }
}

impl Own {
    async fn start() -> anyhow::Result<Self> {
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
        let spawn = |name: &str, args: &[OsString]| spawn(name, args, &janitor);
        let mut etcd = spawn("etcd", &layout.etcd())?;
        let mut api_server = spawn("kube-apiserver", &layout.api_server())?;
        let cluster = Cluster::new(layout.kubeconfig("admin"), layout.dir.clone());
        wait_until_ready(&cluster, &mut api_server).await.or_else(|error| etcd.check().and(Err(error)))?;
        let controller_manager = spawn("kube-controller-manager", &layout.controller_manager())?;
        Ok(Self {
            api_server: Mutex::new(Some(api_server)),
            _controller_manager: controller_manager,
            _etcd: etcd,
            layout,
            janitor,
        })
    }

    fn spawn(&self, name: &str, args: &[OsString]) -> anyhow::Result<Process> {
        spawn(name, args, &self.janitor)
    }
}

fn spawn(name: &str, args: &[OsString], janitor: &Arc<Janitor>) -> anyhow::Result<Process> {
    Process::spawn(name, Command::new(program(name)?).args(args).current_dir(janitor.dir()), janitor)
}

/// Waits for `/readyz`; gives up at once when the API server has ended.
pub(crate) async fn wait_until_ready(cluster: &Cluster, api_server: &mut Process) -> anyhow::Result<()> {
    let client = cluster.client().await?;
    let mut ended = None;
    let ready = try_eventually("the API server is ready", START_DEADLINE, async || {
        if let Err(error) = api_server.check() {
            ended = Some(error);
            return Ok(());
        }
        let request = http::Request::get("/readyz").body(Vec::new())?;
        client.request_text(request).await?;
        anyhow::Ok(())
    })
    .await;
    match (ended, ready) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(error.context(format!("kube-apiserver says:\n{}", api_server.log_tail()))),
        (None, Ok(())) => Ok(()),
    }
}
