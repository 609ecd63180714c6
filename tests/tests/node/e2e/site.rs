//! The cluster of the story: its namespaces, how a step is run, and what is printed when one fails.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use deepseek_tests::kubernetes::Node;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _, api::ListParams};

/// Where operator and gateway live.
pub const SYSTEM: &str = "deepseek-system";
/// Where the route, its consumer and their Secrets live.
pub const TENANT: &str = "team-a";
/// Where the fake DeepSeeks live.
pub const MODELS: &str = "models";

/// Longest time of one step; each wait inside has a shorter one of its own.
const STEP: Duration = Duration::from_mins(5);

/// The pods of the gateway.
const GATEWAY_PODS: &str = "app.kubernetes.io/component=gateway";

/// Commands whose output tells what went wrong.
const DIAGNOSIS: [&str; 9] = [
    "get pods -A -o wide",
    "get deepseekroutes,deepseekconsumers,deepseekgateways -A -o wide",
    "get deepseekroutes,deepseekgateways -A -o jsonpath={range.items[*]}{.metadata.name}:{.status}{'\\n'}{end}",
    "get deployments,hpa,configmaps,endpointslices -n deepseek-system",
    "get events -A --sort-by=.metadata.creationTimestamp",
    "describe pods -n deepseek-system",
    "logs -n deepseek-system -l app.kubernetes.io/component=operator --tail=60 --prefix",
    "logs -n deepseek-system -l app.kubernetes.io/component=gateway --tail=60 --prefix",
    "logs -n deepseek-system -l app.kubernetes.io/component=gateway --tail=20 --prefix --previous",
];

/// The cluster of the story.
pub struct Site<'a> {
    pub node: &'a Node,
    start: Instant,
}

/// A gateway pod, as much of it as the story looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayPod {
    pub name: String,
    pub uid: String,
    pub address: String,
    pub ready: bool,
    pub restarts: i32,
    pub leaving: bool,
}

impl<'a> Site<'a> {
    pub fn new(node: &'a Node) -> Self {
        Self { node, start: Instant::now() }
    }

    /// Runs a step and prints its time.
    ///
    /// # Panics
    /// When it fails, after printing what the cluster looked like.
    pub async fn step<T>(&self, what: &str, work: impl Future<Output = anyhow::Result<T>>) -> T {
        let begin = Instant::now();
        let done = tokio::time::timeout(STEP, work).await.context("it took too long").flatten();
        let (total, took) = (self.start.elapsed().as_secs_f32(), begin.elapsed().as_secs_f32());
        match done {
            Ok(value) => {
                eprintln!("[{total:6.1} s] {took:5.1} s  {what}");
                value
            }
            Err(error) => {
                self.diagnose().await;
                panic!("after {took:.1} s: {what}: {error:#}");
            }
        }
    }

    /// Prints what `kubectl` says of everything that matters.
    async fn diagnose(&self) {
        for command in DIAGNOSIS {
            let arguments: Vec<&str> = command.split(' ').collect();
            let said = match self.node.kubectl(&arguments).await {
                Ok(output) => output.stdout + &output.stderr,
                Err(error) => format!("{error:#}"),
            };
            eprintln!("$ kubectl {command}\n{said}");
        }
    }

    /// What `kubectl` prints; `command` is split at its spaces.
    pub async fn kubectl(&self, command: &str) -> anyhow::Result<String> {
        let arguments: Vec<&str> = command.split(' ').collect();
        self.node.kubectl(&arguments).await?.ok().with_context(|| format!("kubectl {command}"))
    }

    /// As [`Site::kubectl`], and shows the command with its output, as a person would see them.
    pub async fn show(&self, command: &str) -> anyhow::Result<String> {
        let output = self.kubectl(command).await?;
        eprintln!("$ kubectl {command}\n{output}");
        Ok(output)
    }

    /// Creates a namespace where pods must keep to the restricted standard, as a careful platform team has it.
    pub async fn create_namespace(&self, name: &str) -> anyhow::Result<()> {
        self.kubectl(&format!("create namespace {name}")).await?;
        self.kubectl(&format!("label namespace {name} pod-security.kubernetes.io/enforce=restricted"))
            .await?;
        Ok(())
    }

    /// The gateway's pods, those that are leaving too.
    pub async fn gateway_pods(&self) -> anyhow::Result<Vec<GatewayPod>> {
        let pods: Api<Pod> = Api::namespaced(self.node.client().await?, SYSTEM);
        let listed = pods.list(&ListParams::default().labels(GATEWAY_PODS)).await?;
        Ok(listed.items.into_iter().map(GatewayPod::from).collect())
    }
}

impl From<Pod> for GatewayPod {
    fn from(pod: Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        Self {
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            address: status.pod_ip.unwrap_or_default(),
            ready: conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True"),
            restarts: status.container_statuses.iter().flatten().map(|it| it.restart_count).sum(),
            leaving: pod.metadata.deletion_timestamp.is_some(),
        }
    }
}
