//! `DeepSeekGateway`: a pool of gateway pods, their listeners, and what they accept.

use super::{DurationString, GatewayLimits, embedded};
use k8s_openapi::api::core::v1::{LocalObjectReference, ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A pool of gateway pods. `spec: {}` is a working gateway.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "deepseekroute.io",
    version = "v1alpha1",
    kind = "DeepSeekGateway",
    plural = "deepseekgateways",
    namespaced,
    cel,
    status = "DeepSeekGatewayStatus",
    derive = "PartialEq",
    shortname = "dsg",
    category = "deepseek",
    doc = "A pool of gateway pods: replicas, listeners, authentication and limits. `spec: {}` is a working gateway.",
    validation = Rule::new("self.metadata.name.size() <= 40").message("the name of a DeepSeekGateway is at most 40 characters, so that the names of its pods fit"),
    printcolumn(name = "Address", type_ = "string", json_path = ".status.address"),
    printcolumn(name = "Pods", type_ = "string", json_path = ".status.pods", description = "ready/wanted"),
    printcolumn(name = "Routes", type_ = "integer", json_path = ".status.routes"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Default", type_ = "boolean", json_path = ".spec.default", priority = "1"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = "1")
)]
#[serde(rename_all = "camelCase")]
pub struct DeepSeekGatewaySpec {
    /// Whether routes and consumers without a `gatewayRef` belong to this gateway. Of several the oldest is the
    /// default. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
    /// Container image of the gateway. Default: the operator's own image.
    #[schemars(length(min = 1, max = 512))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// How many pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Replicas>,
    /// What the number of pods follows, between `replicas.min` and `replicas.max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// Ports that clients connect to, at most 8. Default: one named `http`, protocol `HTTP`, port 8080.
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.all(l, self.exists_one(m, m.port == l.port))").message("each listener needs a port of its own")
    )]
    #[schemars(length(max = 8))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<Listener>,
    /// How callers show who they are. Default: by API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<GatewayAuth>,
    /// From which namespaces routes and consumers are taken. Default: from all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_routes: Option<AllowedRoutes>,
    /// What a pod takes from clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<GatewayLimits>,
    /// How a pod leaves: it finishes its streams first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
    /// How much a pod logs (JSON, to standard output). Default: `Info`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevel>,
    /// The Service in front of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSettings>,
    /// The pods themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodSettings>,
    /// The NetworkPolicy around the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicySettings>,
}

/// How many pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.min) || !has(self.max) || self.min <= self.max").message("min must not be above max"))]
#[serde(rename_all = "camelCase")]
pub struct Replicas {
    /// At least. Default: 2, or `max` where that is less.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<i32>,
    /// At most. Default: 10, or `min` where that is more.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i32>,
}

/// What the number of pods follows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// CPU use of the gateway container, in percent of its request, that the HorizontalPodAutoscaler aims at.
    /// Default: 65.
    #[schemars(range(min = 1, max = 100))]
    #[serde(default, rename = "targetCPUUtilizationPercentage", skip_serializing_if = "Option::is_none")]
    pub target_cpu_utilization_percentage: Option<i32>,
}

/// A port that clients connect to. HTTP/1.1 and HTTP/2 are served on each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("(self.protocol == 'HTTPS') == has(self.tls)").message("tls goes with protocol HTTPS, and only with it"))]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Name of the port, unique in this gateway.
    #[schemars(length(min = 1, max = 15), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Port of the pods and of the Service. 1024 and above, as pods run without privileges; 15020 and 15021 are the gateway's own.
    #[x_kube(validation = Rule::new("self != 15020 && self != 15021").message("15020 and 15021 are the gateway's own ports"))]
    #[schemars(range(min = 1024, max = 65_535))]
    pub port: i32,
    /// `HTTP`, or `HTTPS` with `tls`.
    pub protocol: ListenerProtocol,
    /// Certificate of an `HTTPS` listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
}

/// Protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ListenerProtocol {
    /// Cleartext.
    HTTP,
    /// TLS 1.2 or 1.3.
    HTTPS,
}

/// Certificate of a listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTls {
    /// A Secret of type `kubernetes.io/tls` (`tls.crt`, `tls.key`) in the gateway's namespace. A renewed certificate
    /// takes effect without a restart.
    pub secret_ref: LocalSecretRef,
}

/// Names a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalSecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// How callers show who they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayAuth {
    /// The way.
    pub mode: AuthMode,
}

/// How callers show who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AuthMode {
    /// By an API key of a `DeepSeekConsumer`.
    #[default]
    ApiKey,
    /// Not at all: every caller is the consumer `anonymous`, and a route with `access` refuses it.
    None,
}

/// From which namespaces routes and consumers are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedRoutes {
    /// Which namespaces.
    pub from: AllowedNamespaces,
}

/// Namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AllowedNamespaces {
    /// Every namespace.
    #[default]
    All,
    /// Only the gateway's own.
    Same,
}

/// How a pod leaves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// How long a leaving pod still takes new connections, until load balancers have noticed. `0s` to `24h`.
    /// Default: `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<DurationString>,
    /// How long it then waits for requests and streams to end before it cuts them. `0s` to `24h`. Default: `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationString>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LogLevel {
    /// Failures of the gateway itself.
    Error,
    /// Also what somebody should look at.
    Warn,
    /// Also what changed.
    #[default]
    Info,
    /// Also each request.
    Debug,
}

/// The Service in front of the pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSettings {
    /// From where it can be reached. Default: `ClusterIP`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<ServiceType>,
    /// Annotations of the Service, such as a load balancer's settings.
    #[schemars(schema_with = "embedded::string_map")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Type of the Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// From inside the cluster.
    ClusterIP,
    /// Also on a port of every node.
    NodePort,
    /// Also through the cloud's load balancer.
    LoadBalancer,
}

impl ServiceType {
    /// The name as it stands in a Service.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// The pods themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodSettings {
    /// Resources of the gateway container. Default: requests of 250m CPU and 64Mi memory, a memory limit of 512Mi.
    #[schemars(schema_with = "embedded::resources")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// More labels of the pods.
    #[schemars(schema_with = "embedded::string_map")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pods.
    #[schemars(schema_with = "embedded::string_map")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels of the nodes they may run on.
    #[schemars(schema_with = "embedded::string_map")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints they tolerate. At most 16.
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[schemars(schema_with = "embedded::tolerations")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Secrets that open the image's registry. At most 8.
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[schemars(schema_with = "embedded::pull_secrets")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Their priority class.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
}

/// The NetworkPolicy around the pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySettings {
    /// Whether there is one: in to the listeners from anywhere and to the admin port from the operator's namespace,
    /// out to anywhere. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// What is known of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeepSeekGatewayStatus {
    /// The generation that this status is about.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where clients in the cluster reach it, such as `http://default.deepseek-system.svc:8080/v1`.
    #[schemars(length(max = 512))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Ready pods / wanted pods.
    #[schemars(length(max = 16))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<String>,
    /// How many accepted routes it serves.
    #[schemars(range(min = 0, max = 2_147_483_647))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<i32>,
    /// `Accepted`, `ResolvedRefs`, `Programmed` and `Ready`.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 8))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
