//! The programs that make a node of a control plane: containerd, kubelet, kube-proxy, scheduler, CoreDNS,
//! metrics-server.

use std::{ffi::OsString, fs, path::Path, slice, sync::Arc};

use anyhow::Context as _;
use kubernetes_assets::program;
use serde_json::json;
use tokio::process::Command;

use super::{NAME, slot::Slot};
use crate::kubernetes::{
    components::{Flags, Layout},
    image,
    janitor::Janitor,
    process::{Process, until_ready},
    programs::Place,
};

const CONTAINERD_SOCKET: &str = "/run/containerd.sock";
const DOMAIN: &str = "cluster.local";
const METRICS_PORT: u16 = 4443;

/// Starts a node's programs.
pub(super) struct Agents<'a> {
    pub(super) slot: Slot,
    pub(super) place: Place,
    pub(super) janitor: &'a Arc<Janitor>,
}

impl Agents<'_> {
    fn spawn(&self, name: &str, flags: &Flags) -> anyhow::Result<Process> {
        self.place.spawn(name, &flags.0, self.janitor)
    }

    fn dir(&self) -> &Path {
        self.janitor.dir()
    }

    pub(super) fn containerd(&self) -> anyhow::Result<Process> {
        let dir = self.dir();
        let networks = dir.join("cni");
        fs::create_dir_all(&networks)?;
        // One link per pod and routes between them: with a bridge, answers of a Service's pods on the same node
        // would pass by kube-proxy's address translation.
        let network = json!({
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [
                {"type": "ptp", "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": self.slot.pods()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                }},
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ],
        });
        fs::write(networks.join("10-pods.conflist"), serde_json::to_vec_pretty(&network)?)?;
        // restrict_oom_score_adj: where we lack CAP_SYS_RESOURCE, as in many build machines, runc fails without it.
        let config = format!(
            r#"version = 2
root = "{dir}/containerd"
state = "/run/containerd"
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{networks}"
"#,
            dir = dir.display(),
            pause = image::PAUSE,
            networks = networks.display(),
        );
        let file = dir.join("containerd.toml");
        fs::write(&file, config).context("failed to write containerd's configuration")?;
        self.spawn("containerd", &Flags::default().path("config", &file))
    }

    pub(super) fn scheduler(&self, layout: &Layout) -> anyhow::Result<Process> {
        let flags = Flags::default().path("kubeconfig", &layout.kubeconfig("scheduler"));
        self.spawn("kube-scheduler", &flags.set("leader-elect", "false").set("secure-port", "0"))
    }

    pub(super) fn kubelet(&self, layout: &Layout) -> anyhow::Result<Process> {
        let dir = self.dir();
        let resolv_conf = dir.join("resolv.conf");
        fs::write(&resolv_conf, "")?;
        let pki = dir.join("pki");
        let config = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
                "x509": {"clientCAFile": pki.join("ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": pki.join("kubelet.crt"),
            "tlsPrivateKeyFile": pki.join("kubelet.key"),
            "cgroupDriver": "cgroupfs",
            // A cgroup of our own: two kubelets under one would end each other's pods.
            "cgroupRoot": format!("/{}", self.slot.cgroup()),
            "failSwapOn": false,
            "containerRuntimeEndpoint": format!("unix://{CONTAINERD_SOCKET}"),
            "clusterDNS": [self.slot.node_address()],
            "clusterDomain": DOMAIN,
            "resolvConf": resolv_conf,
            "volumePluginDir": dir.join("volume-plugins"),
            "serializeImagePulls": false,
            // A nearly full disk is this machine's business; it must not evict pods.
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
        });
        let file = dir.join("kubelet.json");
        fs::write(&file, serde_json::to_vec_pretty(&config)?)
            .context("failed to write the kubelet's configuration")?;
        let flags = Flags::default()
            .path("config", &file)
            .path("kubeconfig", &layout.kubeconfig("kubelet"))
            .path("root-dir", &dir.join("kubelet"))
            .set("hostname-override", NAME)
            .set("node-ip", &self.slot.node_address().to_string());
        self.spawn("kubelet", &flags)
    }

    pub(super) fn kube_proxy(&self, layout: &Layout) -> anyhow::Result<Process> {
        let flags = Flags::default()
            .path("kubeconfig", &layout.kubeconfig("proxy"))
            .set("proxy-mode", "nftables")
            .set("hostname-override", NAME)
            .set("cluster-cidr", &self.slot.pods())
            // The table of connections is this machine's, not the node's to resize.
            .set("conntrack-max-per-core", "0");
        self.spawn("kube-proxy", &flags)
    }

    /// Names of Services for pods, and of nothing else: there is no network to ask.
    pub(super) fn coredns(&self, layout: &Layout) -> anyhow::Result<Process> {
        let corefile = format!(
            ".:53 {{\n  bind {address}\n  errors\n  kubernetes {DOMAIN} in-addr.arpa {{\n    kubeconfig {kubeconfig}\n  }}\n}}\n",
            address = self.slot.node_address(),
            kubeconfig = layout.kubeconfig("admin").display(),
        );
        let file = self.dir().join("Corefile");
        fs::write(&file, corefile).context("failed to write CoreDNS's configuration")?;
        self.spawn("coredns", &Flags::default().path("conf", &file))
    }

    pub(super) fn metrics_server(&self, layout: &Layout) -> anyhow::Result<Process> {
        let (kubeconfig, pki) = (layout.kubeconfig("admin"), self.dir().join("pki"));
        let flags = Flags::default()
            .path("kubeconfig", &kubeconfig)
            .path("authentication-kubeconfig", &kubeconfig)
            .path("authorization-kubeconfig", &kubeconfig)
            .set("secure-port", &METRICS_PORT.to_string())
            .path("cert-dir", &self.dir().join("metrics-server"))
            .set("kubelet-preferred-address-types", "InternalIP")
            .path("kubelet-certificate-authority", &pki.join("ca.crt"))
            .path("kubelet-client-certificate", &pki.join("admin.crt"))
            .path("kubelet-client-key", &pki.join("admin.key"))
            // The shortest it takes; the time limit must be below it.
            .set("metric-resolution", "10s")
            .set("kubelet-request-timeout", "5s");
        self.spawn("metrics-server", &flags)
    }

    /// What makes metrics-server, which is not a pod, a part of the API.
    pub(super) fn metrics_manifest(&self) -> String {
        let name = json!({"name": "metrics-server", "namespace": "kube-system"});
        let objects = [
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": name,
                "spec": {"ports": [{"name": "https", "port": 443, "targetPort": METRICS_PORT}]},
            }),
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {
                    "name": "metrics-server", "namespace": "kube-system",
                    "labels": {"kubernetes.io/service-name": "metrics-server"},
                },
                "addressType": "IPv4",
                "endpoints": [{"addresses": [self.slot.node_address()], "conditions": {"ready": true}}],
                "ports": [{"name": "https", "port": METRICS_PORT, "protocol": "TCP"}],
            }),
            json!({
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {"name": "v1beta1.metrics.k8s.io"},
                "spec": {
                    "service": name, "group": "metrics.k8s.io", "version": "v1beta1",
                    "insecureSkipTLSVerify": true, "groupPriorityMinimum": 100, "versionPriority": 100,
                },
            }),
        ];
        objects.map(|object| object.to_string()).join("\n---\n")
    }
}

/// Waits for containerd and gives it the image that every pod starts from.
pub(super) async fn load_pause(place: Place, containerd: &mut Process, archive: &Path) -> anyhow::Result<()> {
    until_ready("containerd takes images", slice::from_mut(containerd), async || import(place, archive).await)
        .await
}

/// Gives containerd the image in an OCI archive.
pub(super) async fn import(place: Place, archive: &Path) -> anyhow::Result<()> {
    let args: [OsString; 6] =
        ["--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", "images", "import"].map(OsString::from);
    let mut command = Command::from(place.command(&program("ctr")?));
    let output =
        command.args(args).arg(archive).kill_on_drop(true).output().await.context("failed to start ctr")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "failed to load the image {}: {stderr}", archive.display());
    Ok(())
}
