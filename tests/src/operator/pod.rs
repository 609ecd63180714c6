//! Pods without a node: a Pod object, marked ready by hand, with somebody behind its address.

use super::report_server::ReportServer;
use crate::binaries::bin;
use crate::kubernetes::{ControlPlane, eventually};
use anyhow::Context as _;
use deepseek_config::document::{Document, ObjectId};
use deepseek_config::report::{ADMIN_PORT, LoadedObject, Report};
use deepseek_crds::labels;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// A loopback address that no other pod of this process has. Its second byte comes from the process number, as other
/// test processes have pods too.
fn address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(2);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 1 + high % 250, low, NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn create(
    client: &Client,
    namespace: &str,
    gateway: &str,
    name: &str,
    address: Ipv4Addr,
) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": namespace, "labels": {
            labels::MANAGED_BY: labels::MANAGER,
            labels::COMPONENT: labels::COMPONENT_GATEWAY,
            labels::GATEWAY: gateway,
        }},
        "spec": {"containers": [{"name": "gateway", "image": "none"}], "terminationGracePeriodSeconds": 0}
    }))?;
    pods.create(&PostParams::default(), &pod).await.context("failed to create a pod")?;
    set_ready(&pods, name, address, true).await
}

async fn set_ready(pods: &Api<Pod>, name: &str, address: Ipv4Addr, ready: bool) -> anyhow::Result<()> {
    let status = json!({"status": {
        "phase": "Running",
        "podIP": address.to_string(),
        "podIPs": [{"ip": address.to_string()}],
        "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
    }});
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}

/// A pod that is nobody: it reports having loaded whatever is stored, unless a test says otherwise.
pub struct FakePod {
    pods: Api<Pod>,
    name: String,
    address: Ipv4Addr,
    server: Arc<ReportServer>,
    loading: JoinHandle<()>,
}

impl FakePod {
    /// A ready pod of `gateway` that loads whatever it finds.
    pub async fn start(
        plane: &ControlPlane,
        namespace: &str,
        gateway: &str,
        name: &str,
    ) -> anyhow::Result<Self> {
        Self::start_with(plane, namespace, gateway, name, |_| None).await
    }

    /// A ready pod that refuses documents for which `refuses` gives a reason.
    pub async fn start_with(
        plane: &ControlPlane,
        namespace: &str,
        gateway: &str,
        name: &str,
        refuses: impl Fn(&Document) -> Option<String> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let client = plane.client().await?;
        let address = address();
        let server = Arc::new(ReportServer::start(address).await?);
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let loading = tokio::spawn(load(maps, gateway.to_owned(), Arc::clone(&server), refuses));
        create(&client, namespace, gateway, name, address).await?;
        let pods = Api::namespaced(client, namespace);
        Ok(Self { pods, name: name.to_owned(), address, server, loading })
    }

    /// Loads nothing more, as one that hangs.
    pub fn stop_loading(&self) {
        self.loading.abort();
    }

    /// Changes what it reports.
    pub fn report(&self, change: impl FnOnce(&mut Report)) {
        self.server.change(change);
    }

    /// Marks the pod ready or not.
    pub async fn set_ready(&self, ready: bool) -> anyhow::Result<()> {
        set_ready(&self.pods, &self.name, self.address, ready).await
    }

    /// Deletes the pod.
    pub async fn delete(self) -> anyhow::Result<()> {
        self.pods.delete(&self.name, &DeleteParams::default().grace_period(0)).await?;
        Ok(())
    }
}

impl Drop for FakePod {
    fn drop(&mut self) {
        self.loading.abort();
    }
}

async fn load(
    maps: Api<ConfigMap>,
    gateway: String,
    server: Arc<ReportServer>,
    refuses: impl Fn(&Document) -> Option<String> + Send,
) {
    let selector =
        format!("{}={gateway},{}={}", labels::GATEWAY, labels::COMPONENT, labels::COMPONENT_CONFIG);
    let mut stream = watcher::watcher(maps, watcher::Config::default().labels(&selector)).boxed();
    let mut loaded: BTreeMap<String, LoadedObject> = BTreeMap::new();
    while let Some(event) = stream.next().await {
        match event {
            Ok(Event::Apply(map) | Event::InitApply(map)) => {
                let name = map.name_any();
                if let Some(object) = read(&map, loaded.get(&name), &refuses) {
                    loaded.insert(name, object);
                }
            }
            Ok(Event::Delete(map)) => {
                loaded.remove(&map.name_any());
            }
            Ok(Event::Init | Event::InitDone) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
        let objects: Vec<LoadedObject> = loaded.values().cloned().collect();
        server.change(|report| report.objects = objects);
    }
}

fn read(
    map: &ConfigMap,
    old: Option<&LoadedObject>,
    refuses: &impl Fn(&Document) -> Option<String>,
) -> Option<LoadedObject> {
    let data = map.data.as_ref()?;
    let document = Document::decode(data.get(labels::CONFIG_KEY)?, data.get(labels::DIGEST_KEY)?).ok()?;
    let id: ObjectId = document.id.clone();
    if let Some(why) = refuses(&document) {
        let old = old.cloned().unwrap_or(LoadedObject { id, sha256: None, generation: None, refused: None });
        return Some(LoadedObject { refused: Some(why), ..old });
    }
    let sha256 = data.get(labels::DIGEST_KEY).cloned();
    Some(LoadedObject { id, sha256, generation: Some(document.generation), refused: None })
}

/// A pod with the real gateway behind it.
pub struct GatewayPod {
    _child: Child,
    address: Ipv4Addr,
}

impl GatewayPod {
    /// A ready pod of `gateway`, run with the rights of a ServiceAccount that the operator made for it.
    pub async fn start(
        plane: &ControlPlane,
        namespace: &str,
        gateway: &str,
        name: &str,
    ) -> anyhow::Result<Self> {
        let account = format!("{gateway}-gateway");
        let kubeconfig =
            eventually("the gateway's ServiceAccount is there", Duration::from_secs(30), async || {
                plane.kubeconfig_for_service_account(namespace, &account).await
            })
            .await;
        let address = address();
        let child = Command::new(bin("deepseek-gateway"))
            .args(["cluster", "--gateway", gateway, "--namespace", namespace])
            .args(["--admin", &format!("{address}:{ADMIN_PORT}")])
            .env("KUBECONFIG", kubeconfig)
            .env("POD_NAME", name)
            .env("POD_NAMESPACE", namespace)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()?;
        eventually("the gateway is ready", Duration::from_secs(30), async || {
            let answer = reqwest::get(format!("http://{address}:{ADMIN_PORT}/readyz")).await?;
            answer.error_for_status().map(drop)
        })
        .await;
        create(&plane.client().await?, namespace, gateway, name, address).await?;
        Ok(Self { _child: child, address })
    }

    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }
}
