//! The command lines of the control plane's programs.

use std::{
    ffi::OsString,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::json;

use super::{
    audit,
    cluster::Cluster,
    pki::{Pki, Subject},
};

/// Where a control plane lives: its folder, its address and its ports.
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
    /// The address of the API server.
    pub(crate) address: IpAddr,
    pub(crate) api_port: u16,
    pub(crate) etcd_port: u16,
    pub(crate) etcd_peer_port: u16,
    /// The Services' addresses, a /24 whose first address is the API server's own Service.
    pub(crate) service_prefix: [u8; 3],
    /// Whether pods run here, so that API server and node reach each other.
    pub(crate) has_node: bool,
}

/// The users of kubeconfigs and their groups.
const USERS: [(&str, &str, Option<&str>); 5] = [
    ("admin", "test-admin", Some("system:masters")),
    ("controller-manager", "system:kube-controller-manager", None),
    ("scheduler", "system:kube-scheduler", None),
    ("kubelet", "system:node:node1", Some("system:nodes")),
    ("proxy", "system:kube-proxy", None),
];

impl Layout {
    /// Writes what the programs read: certificates, kubeconfigs, the audit policy.
    pub(crate) fn write_files(&self) -> anyhow::Result<()> {
        let pki = Pki::create(&self.dir.join("pki"))?;
        let [a, b, c] = self.service_prefix;
        pki.issue(
            "apiserver",
            &Subject {
                common_name: "kube-apiserver",
                dns: &["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"],
                addresses: &[[127, 0, 0, 1].into(), self.address, [a, b, c, 1].into()],
                ..Subject::default()
            },
        )?;
        pki.issue("front-proxy", &Subject { common_name: "front-proxy-client", ..Subject::default() })?;
        for (name, common_name, organization) in USERS {
            let addresses: &[IpAddr] = if name == "kubelet" { &[self.address] } else { &[] };
            pki.issue(name, &Subject { common_name, organization, dns: &[name], addresses })?;
            let kubeconfig = self.kubeconfig_of(&pki, name);
            fs::write(self.kubeconfig(name), serde_json::to_vec_pretty(&kubeconfig)?)
                .with_context(|| format!("failed to write the kubeconfig of {name}"))?;
        }
        fs::write(self.dir.join("audit-policy.yaml"), audit::POLICY)
            .context("failed to write the audit policy")
    }

    /// The kubeconfig of one of [`USERS`].
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.dir.join(format!("{user}.kubeconfig"))
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        self.dir.join("log/audit.jsonl")
    }

    pub(crate) fn server(&self) -> String {
        format!("https://{}:{}", self.address, self.api_port)
    }

    fn kubeconfig_of(&self, pki: &Pki, user: &str) -> serde_json::Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {
                "server": self.server(),
                "certificate-authority": pki.file("ca.crt"),
            }}],
            "users": [{"name": user, "user": {
                "client-certificate": pki.file(&format!("{user}.crt")),
                "client-key": pki.file(&format!("{user}.key")),
            }}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        })
    }

    /// Access with the rights of an administrator.
    pub(crate) fn cluster(&self) -> Cluster {
        Cluster::new(self.kubeconfig("admin"), self.dir.clone())
    }

    pub(crate) fn etcd(&self) -> Vec<OsString> {
        let client = format!("http://127.0.0.1:{}", self.etcd_port);
        let peer = format!("http://127.0.0.1:{}", self.etcd_peer_port);
        Flags::default()
            .path("data-dir", &self.dir.join("etcd"))
            .set("listen-client-urls", &client)
            .set("advertise-client-urls", &client)
            .set("listen-peer-urls", &peer)
            .set("initial-advertise-peer-urls", &peer)
            .set("initial-cluster", &format!("default={peer}"))
            // Durability is not what is tested, and a sync of a busy disk can take seconds.
            .set("unsafe-no-fsync", "true")
            .0
    }

    pub(crate) fn api_server(&self) -> Vec<OsString> {
        let pki = self.dir.join("pki");
        let [a, b, c] = self.service_prefix;
        let flags = Flags::default()
            .set("etcd-servers", &format!("http://127.0.0.1:{}", self.etcd_port))
            .set("bind-address", &self.address.to_string())
            .set("advertise-address", &self.address.to_string())
            .set("secure-port", &self.api_port.to_string())
            .set("service-cluster-ip-range", &format!("{a}.{b}.{c}.0/24"))
            .set("authorization-mode", "Node,RBAC")
            .path("tls-cert-file", &pki.join("apiserver.crt"))
            .path("tls-private-key-file", &pki.join("apiserver.key"))
            .path("client-ca-file", &pki.join("ca.crt"))
            .set("service-account-issuer", "https://kubernetes.default.svc")
            .path("service-account-key-file", &pki.join("sa.pub"))
            .path("service-account-signing-key-file", &pki.join("sa.key"))
            .path("requestheader-client-ca-file", &pki.join("ca.crt"))
            .set("requestheader-allowed-names", "front-proxy-client")
            .set("requestheader-username-headers", "X-Remote-User")
            .set("requestheader-group-headers", "X-Remote-Group")
            .set("requestheader-extra-headers-prefix", "X-Remote-Extra-")
            .path("proxy-client-cert-file", &pki.join("front-proxy.crt"))
            .path("proxy-client-key-file", &pki.join("front-proxy.key"))
            .path("audit-policy-file", &self.dir.join("audit-policy.yaml"))
            .path("audit-log-path", &self.audit_log());
        if self.has_node {
            flags
                .set("enable-aggregator-routing", "true")
                .set("kubelet-preferred-address-types", "InternalIP")
                .path("kubelet-certificate-authority", &pki.join("ca.crt"))
                .path("kubelet-client-certificate", &pki.join("admin.crt"))
                .path("kubelet-client-key", &pki.join("admin.key"))
                .0
        } else {
            // A loopback address is not a valid endpoint of the `kubernetes` Service, and no pod would use it.
            flags.set("endpoint-reconciler-type", "none").0
        }
    }

    pub(crate) fn controller_manager(&self) -> Vec<OsString> {
        let pki = self.dir.join("pki");
        Flags::default()
            .path("kubeconfig", &self.kubeconfig("controller-manager"))
            .path("service-account-private-key-file", &pki.join("sa.key"))
            .path("root-ca-file", &pki.join("ca.crt"))
            .path("cluster-signing-cert-file", &pki.join("ca.crt"))
            .path("cluster-signing-key-file", &pki.join("ca.key"))
            .set("use-service-account-credentials", "true")
            .set("leader-elect", "false")
            .set("secure-port", "0")
            // It makes this folder, by default in /usr.
            .path("flex-volume-plugin-dir", &self.dir.join("volume-plugins"))
            // It starts its controllers one by one, each with requests; by default that takes it five seconds.
            .set("kube-api-qps", "500")
            .set("kube-api-burst", "500")
            // A new node takes pods when this has looked at it.
            .set("node-monitor-period", "1s")
            // Scaling tests wait for the autoscaler: its pace is the tests' pace.
            .set("horizontal-pod-autoscaler-sync-period", "5s")
            .set("horizontal-pod-autoscaler-cpu-initialization-period", "10s")
            .set("horizontal-pod-autoscaler-initial-readiness-delay", "5s")
            .0
    }
}

/// A command line of `--name=value`.
#[derive(Default)]
pub(crate) struct Flags(pub(crate) Vec<OsString>);

impl Flags {
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.0.push(format!("--{name}={value}").into());
        self
    }

    pub(crate) fn path(mut self, name: &str, value: &Path) -> Self {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(value);
        self.0.push(flag);
        self
    }
}
