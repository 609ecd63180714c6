//! `DeepSeekRoute`: a model name, who may call it, and the backends that serve it. Enough by itself.

use super::{
    Balancing, Cache, Failover, Flavor, GatewayRef, KeepAlive, NamespacedRef, Quota, SecretSource, Timeouts,
    backend::BackendTls, embedded,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A model served through a gateway: `model`, one backend, done. Everything else has a default.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "deepseekroute.io",
    version = "v1alpha1",
    kind = "DeepSeekRoute",
    plural = "deepseekroutes",
    namespaced,
    cel,
    status = "DeepSeekRouteStatus",
    derive = "PartialEq",
    shortname = "dsr",
    category = "deepseek",
    doc = "A model that a gateway serves: its name, who may call it, and the backends behind it.",
    validation = Rule::new("self.metadata.name.size() <= 63").message("the name of a DeepSeekRoute is at most 63 characters"),
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model"),
    printcolumn(name = "Backends", type_ = "string", json_path = ".status.healthyBackends", description = "healthy/all"),
    printcolumn(name = "Gateways", type_ = "string", json_path = ".status.gateways", description = "pods that loaded this generation/ready pods"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = "1"),
    printcolumn(name = "Quota-Used", type_ = "string", json_path = ".status.traffic.quotaUsed", priority = "1"),
    printcolumn(name = "Requests/s", type_ = "string", json_path = ".status.traffic.requestsPerSecond", priority = "1")
)]
#[x_kube(
    validation = Rule::new("!has(self.aliases) || !(self.model in self.aliases)").message("aliases must not repeat model").field_path(".aliases"),
    validation = Rule::new("self.backends.exists(b, !has(b.weight) || b.weight > 0)").message("at least one backend needs a weight above 0").field_path(".backends"),
    validation = Rule::new("!has(self.failover) || !has(self.failover.hedgeAfter) || self.backends.size() > 1").message("hedgeAfter needs a second backend").field_path(".failover.hedgeAfter"),
    validation = Rule::new("!has(self.failover) || !has(self.failover.hedgeAfter) || !has(self.timeouts) || !has(self.timeouts.request) || duration(self.failover.hedgeAfter) < duration(self.timeouts.request)").message("hedgeAfter must be shorter than timeouts.request").field_path(".failover.hedgeAfter"),
    validation = Rule::new("!has(self.failover) || !has(self.failover.fallback) || !has(self.failover.fallback.model) || (self.failover.fallback.model != self.model && !(has(self.aliases) && self.failover.fallback.model in self.aliases))").message("the fallback model must be another one than this route's").field_path(".failover.fallback.model")
)]
#[serde(rename_all = "camelCase")]
pub struct DeepSeekRouteSpec {
    /// The gateway that serves this route. Default: the `DeepSeekGateway` with `spec.default: true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_ref: Option<GatewayRef>,
    /// The model name that clients ask for, such as `deepseek-v4-pro`. Unique on a gateway: of two routes with the
    /// same name the older one serves it, and the younger says so in its status.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$"))]
    pub model: String,
    /// More names for the same model. At most 16.
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$"))
    )]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Who may call. Default: every consumer of the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<RouteAccess>,
    /// What serves the model, 1 to 16 backends: the lowest `priority` first, by `weight` within one priority; the
    /// next ones when an attempt fails.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[schemars(length(min = 1, max = 16))]
    pub backends: Vec<RouteBackend>,
    /// Limits, at most 16; all of them hold. A request over one gets 429 with `Retry-After`.
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[schemars(length(max = 16))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quota: Vec<Quota>,
    /// How long each phase of a call may take: durations above zero, at most `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// What happens when an attempt fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
    /// How one of several backends of the same priority is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balancing: Option<Balancing>,
    /// Answers that are kept and given again. The header `x-deepseek-gateway-cache` tells `hit`, `merged` or `miss`, and
    /// `age` the seconds since a kept answer came. Calls with `Cache-Control: no-store` have no part in it. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Signs of life to the client while the model thinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
}

/// Who may call a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteAccess {
    /// Consumers with all of these labels may call; an empty selector selects every consumer.
    pub consumers: ConsumerSelector,
}

/// Selects `DeepSeekConsumer`s by their labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerSelector {
    /// Labels that a consumer must carry, all of them. At most 16.
    #[schemars(schema_with = "embedded::label_map")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
}

/// One backend of a route: either a reference (`backendRef`) or written out here (`baseUrl`). What else can be said of an
/// account, such as its concurrency and balance, is said in a `DeepSeekBackend`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("has(self.backendRef) != has(self.baseUrl)").message("set exactly one of backendRef and baseUrl"),
    validation = Rule::new("!has(self.tls) || !has(self.baseUrl) || self.baseUrl.startsWith('https://')").message("tls needs an https baseUrl").field_path(".tls"),
    validation = Rule::new("!has(self.backendRef) || (!has(self.flavor) && !has(self.apiKey) && !has(self.tls) && !has(self.zone))").message("flavor, apiKey, tls and zone belong to baseUrl; with backendRef they come from the DeepSeekBackend")
)]
#[serde(rename_all = "camelCase")]
pub struct RouteBackend {
    /// Name of the backend, unique in this route; it appears in status, metrics and logs.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The `DeepSeekBackend` (account) to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_ref: Option<NamespacedRef>,
    /// Base URL of the provider's API, such as `https://api.deepseek.com` or `http://vllm.models.svc:8000/v1`.
    #[schemars(length(min = 8, max = 512), regex(pattern = r"^https?://[^\s?#]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// What kind of server it is: decides paths and how the key is sent. Default: `DeepSeek`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flavor: Option<Flavor>,
    /// The provider's key. Leave out for a server that needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretSource>,
    /// How an `https` base URL is verified. Default: the system's and Mozilla's roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<BackendTls>,
    /// The zone it is in, as in the label `topology.kubernetes.io/zone` of nodes; pods of the same zone prefer it within
    /// its priority. Default: none, as near as any other.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The model name this backend knows. Default: the name the client asked for.
    #[schemars(length(min = 1, max = 256))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Lower is tried first. Default: 0.
    #[schemars(range(min = 0, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Share of the traffic within one priority; 0 takes part in failover only. Default: 100.
    #[schemars(range(min = 0, max = 10_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
}

/// What is known of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeepSeekRouteStatus {
    /// The generation that this status is about.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Gateway pods that loaded this generation / ready gateway pods, such as `3/3`.
    #[schemars(length(max = 16))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateways: Option<String>,
    /// Healthy backends / all backends, such as `1/2`.
    #[schemars(length(max = 16))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_backends: Option<String>,
    /// Each backend as the gateway pods see it.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[schemars(length(max = 16))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<BackendHealth>,
    /// What the route carries, as the gateway pods count it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<RouteTraffic>,
    /// `Accepted`, `ResolvedRefs`, `Programmed` and `Ready`.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 8))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One backend as the gateway pods see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendHealth {
    /// Name of the backend in `spec.backends`.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The worst state any ready gateway pod reports.
    pub state: BackendState,
    /// Why it is not healthy, such as `ConnectFailure`.
    #[schemars(length(max = 128))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when it is in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// Whether requests go to a backend; the later ones are worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum BackendState {
    /// Requests go to it.
    Healthy,
    /// It is being tried again with single requests.
    HalfOpen,
    /// Too many attempts failed: no requests go to it for a while.
    Open,
    /// Its account is out of balance: no requests go to it until the balance has returned.
    Parked,
}

/// What a route carries, summed over the gateway pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteTraffic {
    /// Requests per second over the last minute, one decimal.
    #[schemars(length(max = 32))]
    pub requests_per_second: String,
    /// The fullest quota of the route, in percent, such as `37%`. Absent without quotas.
    #[schemars(length(max = 8))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_used: Option<String>,
}
