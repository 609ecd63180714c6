//! The running programs of a control plane: etcd, kube-apiserver, kube-controller-manager.

use std::{ffi::OsString, path::Path, process::Command, slice, sync::Arc};

use anyhow::Context as _;
use kubernetes_assets::program;
use parking_lot::Mutex;

use super::{
    audit::{self, Write},
    cluster::Cluster,
    components::Layout,
    janitor::Janitor,
    process::{Process, until_ready},
};

/// Where programs run: on this machine itself, or in the namespaces of another process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Here,
    /// The process number, seen from outside, of the first process inside.
    Inside(u32),
}

impl Place {
    /// A command that will run `program` in this place.
    pub(crate) fn command(self, program: &Path) -> Command {
        match self {
            Self::Here => Command::new(program),
            Self::Inside(pid) => {
                let mut command = Command::new("nsenter");
                command
                    .args(["--net", "--mount", "--pid", "--target"])
                    .arg(pid.to_string())
                    .arg("--")
                    .arg(program);
                command
            }
        }
    }

    /// Starts one of the programs that `cargo xtask setup` brings.
    pub(crate) fn spawn(
        self,
        name: &str,
        args: &[OsString],
        janitor: &Arc<Janitor>,
    ) -> anyhow::Result<Process> {
        Process::spawn(name, self.command(&program(name)?).args(args).current_dir(janitor.dir()), janitor)
    }
}

/// A running control plane; its programs end when it is dropped, its folder when the last janitor's owner is.
pub(crate) struct Programs {
    api_server: Mutex<Option<Process>>,
    _controller_manager: Process,
    _etcd: Process,
    pub(crate) layout: Layout,
    place: Place,
    janitor: Arc<Janitor>,
}

impl Programs {
    /// Starts everything in `place` and waits until the API server answers.
    pub(crate) async fn start(layout: Layout, place: Place, janitor: Arc<Janitor>) -> anyhow::Result<Self> {
        let spawn = |name: &str, args: &[OsString]| place.spawn(name, args, &janitor);
        let mut etcd = spawn("etcd", &layout.etcd())?;
        let mut api_server = spawn("kube-apiserver", &layout.api_server())?;
        wait_until_ready(&layout, &mut api_server).await.or_else(|error| etcd.check().and(Err(error)))?;
        let controller_manager = spawn("kube-controller-manager", &layout.controller_manager())?;
        Ok(Self {
            api_server: Mutex::new(Some(api_server)),
            _controller_manager: controller_manager,
            _etcd: etcd,
            layout,
            place,
            janitor,
        })
    }

    /// Access with the rights of an administrator.
    pub(crate) fn cluster(&self) -> Cluster {
        self.layout.cluster()
    }

    /// See [`super::ControlPlane::stop_api_server`].
    pub(crate) fn stop_api_server(&self) -> anyhow::Result<()> {
        self.api_server.lock().take().context("the API server is not running")?;
        Ok(())
    }

    /// See [`super::ControlPlane::start_api_server`].
    pub(crate) async fn start_api_server(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.api_server.lock().is_none(), "the API server is running");
        let mut process = self.place.spawn("kube-apiserver", &self.layout.api_server(), &self.janitor)?;
        wait_until_ready(&self.layout, &mut process).await?;
        *self.api_server.lock() = Some(process);
        Ok(())
    }

    /// See [`super::ControlPlane::writes`].
    pub(crate) fn writes(&self) -> anyhow::Result<Vec<Write>> {
        audit::read(&self.layout.audit_log())
    }
}

/// Waits for `/readyz`.
async fn wait_until_ready(layout: &Layout, api_server: &mut Process) -> anyhow::Result<()> {
    let client = layout.cluster().client().await?;
    until_ready("the API server is ready", slice::from_mut(api_server), async || {
        client.request_text(http::Request::get("/readyz").body(Vec::new())?).await?;
        Ok(())
    })
    .await
}
