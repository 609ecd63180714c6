//! The namespaces that a node lives in, and its link to this machine.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;

use super::slot::Slot;
use crate::kubernetes::{janitor::Janitor, process::Process, programs::Place, wait::try_eventually};

const DEADLINE: Duration = Duration::from_secs(20);

/// Network, mount and process namespaces; dropping it ends everything inside.
pub(crate) struct Sandbox {
    _init: Process,
    pub(crate) place: Place,
}

impl Sandbox {
    /// Makes the namespaces and joins them to this machine by a link.
    pub(crate) async fn create(slot: Slot, janitor: &Arc<Janitor>) -> anyhow::Result<Self> {
        let mut unshare = Command::new("unshare");
        unshare.args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
            "--",
            "bash",
            "-c",
        ]);
        unshare.arg(include_str!("inside.sh")).arg("node").arg(janitor.dir()).arg(slot.services());
        let mut init = Process::spawn("namespaces", &mut unshare, janitor)?;
        let outer = init.pid();
        let pid = try_eventually("the node's namespaces are made", DEADLINE, async || {
            init.check()?;
            let pid = only_child(outer)?;
            let ready = format!("/proc/{pid}/root/run/namespaces-ready");
            anyhow::ensure!(Path::new(&ready).exists(), "its first process is still preparing them");
            anyhow::Ok(pid)
        })
        .await
        .with_context(|| {
            format!("failed to make namespaces (root with CAP_SYS_ADMIN is needed):\n{}", init.log_tail())
        })?;
        connect(slot, pid)?;
        Ok(Self { _init: init, place: Place::Inside(pid) })
    }
}

/// A pair of links: ours with the routes to pods and Services, theirs with the node's address.
fn connect(slot: Slot, pid: u32) -> anyhow::Result<()> {
    let (link, host, node) = (slot.link(), slot.host_address(), slot.node_address());
    let pid = pid.to_string();
    // What a node left whose janitor was killed.
    let _ = Command::new("ip").args(["link", "delete", &link]).output();
    run(Command::new("ip")
        .args(["link", "add", &link, "type", "veth", "peer", "name", "uplink", "netns", &pid]))?;
    let inside = format!("address add {node}/30 dev uplink\nlink set uplink up\n");
    batch(Command::new("nsenter").args(["--net", "--target", &pid, "--", "ip"]), &inside)?;
    let mut outside = format!("address add {host}/30 dev {link}\nlink set {link} up\n");
    for range in [slot.pods(), slot.services()] {
        outside.push_str(&route(&range, node));
    }
    batch(&mut Command::new("ip"), &outside)
}

fn route(range: &str, via: Ipv4Addr) -> String {
    format!("route add {range} via {via}\n")
}

fn batch(ip: &mut Command, lines: &str) -> anyhow::Result<()> {
    let mut file = tempfile::NamedTempFile::new()?;
    std::io::Write::write_all(&mut file, lines.as_bytes())?;
    run(ip.arg("-batch").arg(file.path())).with_context(|| format!("the lines were:\n{lines}"))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("failed to run {command:?}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?} failed: {stderr}");
    Ok(())
}

fn only_child(pid: u32) -> anyhow::Result<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    children.split_whitespace().next().context("it has not started yet")?.parse().context("a process number")
}

/// Makes the cgroup that the pods' cgroups will be under, in every hierarchy of this machine.
pub(crate) fn create_cgroup(name: &str) -> anyhow::Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies: Vec<PathBuf> = if root.join("cgroup.controllers").exists() {
        vec![root.to_owned()]
    } else {
        fs::read_dir(root).context("failed to list cgroups")?.flatten().map(|entry| entry.path()).collect()
    };
    for hierarchy in hierarchies.iter().filter(|path| path.is_dir() && !path.is_symlink()) {
        let path = hierarchy.join(name);
        fs::create_dir_all(&path)
            .with_context(|| format!("failed to create the cgroup {}", path.display()))?;
    }
    Ok(())
}
