//! `DeepSeekBackend`: one account at one provider, shared by many routes.

use super::{
    AccountBalance, AccountConcurrency, BackendState, ModelConcurrency, SecretKeyRef, SecretSource, UserId,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One account at one provider.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "deepseekroute.io",
    version = "v1alpha1",
    kind = "DeepSeekBackend",
    plural = "deepseekbackends",
    namespaced,
    cel,
    status = "DeepSeekBackendStatus",
    derive = "PartialEq",
    shortname = "dsb",
    category = "deepseek",
    doc = "One account at one provider: where it is and which keys open it. Routes refer to it by backendRef.",
    validation = Rule::new("self.metadata.name.size() <= 63").message("the name of a DeepSeekBackend is at most 63 characters"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.baseUrl"),
    printcolumn(name = "Flavor", type_ = "string", json_path = ".spec.flavor"),
    printcolumn(name = "Routes", type_ = "integer", json_path = ".status.routes"),
    printcolumn(name = "Balance", type_ = "string", json_path = ".status.balance"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = "1"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state", priority = "1")
)]
#[x_kube(
    validation = Rule::new("!has(self.tls) || self.baseUrl.startsWith('https://')").message("tls needs an https baseUrl").field_path(".tls"),
    validation = Rule::new("!has(self.balance) || !has(self.flavor) || self.flavor == 'DeepSeek'").message("only flavor DeepSeek tells its balance").field_path(".balance"),
    validation = Rule::new("!has(self.userId) || self.userId == 'Caller' || !has(self.flavor) || self.flavor == 'DeepSeek'").message("only flavor DeepSeek takes a user_id").field_path(".userId")
)]
#[serde(rename_all = "camelCase")]
pub struct DeepSeekBackendSpec {
    /// Base URL of the provider's API, such as `https://api.deepseek.com` or `http://vllm.models.svc:8000/v1`.
    #[schemars(length(min = 8, max = 512), regex(pattern = r"^https?://[^\s?#]+$"))]
    pub base_url: String,
    /// What kind of server it is: decides paths and how the key is sent. Default: `DeepSeek`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flavor: Option<Flavor>,
    /// Keys of the account, used in turn. At most 32. Leave out for a server that needs none.
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[schemars(length(max = 32))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api_keys: Vec<SecretSource>,
    /// How an `https` base URL is verified. Default: the system's and Mozilla's roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<BackendTls>,
    /// The zone it is in, as in the label `topology.kubernetes.io/zone` of nodes; pods of the same zone prefer it within
    /// its priority. Default: none, as near as any other.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Calls in flight that the account takes. The ready pods of a gateway share them by equal parts; gateways do not
    /// know of each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<AccountConcurrency>,
    /// How the account's balance is watched; flavor `DeepSeek` only. Default: it is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<AccountBalance>,
    /// What is sent as `user_id` where the caller sends none; flavor `DeepSeek` only. Default: `Caller`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
}

/// How an `https` backend is verified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendTls {
    /// PEM certificates of the authorities that may have signed the backend's certificate, and no others.
    pub ca_secret_ref: SecretKeyRef,
}

/// Kind of server.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Flavor {
    /// DeepSeek's own API: `/chat/completions`, `/beta`, `/anthropic`, `/responses`; no embeddings.
    #[default]
    DeepSeek,
    /// OpenAI's API and what is compatible with it: chat, completions, embeddings, responses.
    OpenAI,
    /// vLLM's OpenAI-compatible server.
    VLLM,
    /// SGLang's OpenAI-compatible server.
    SGLang,
    /// Ollama's OpenAI-compatible server.
    Ollama,
    /// Azure AI Foundry: the key goes into the `api-key` header.
    Azure,
    /// SiliconFlow's OpenAI-compatible API.
    SiliconFlow,
}

/// What is known of a backend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeepSeekBackendStatus {
    /// The generation that this status is about.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many accepted routes refer to it.
    #[schemars(range(min = 0, max = 2_147_483_647))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<i32>,
    /// The worst state that any ready gateway pod reports of it, over all routes. Absent as long as no route uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<BackendState>,
    /// The account's balance as the provider last told it, such as `110.00 CNY`. Absent where it is not watched.
    #[schemars(length(max = 64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<String>,
    /// When the provider told `balance`. As long as that stays the same, it is moved every ten minutes at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance_time: Option<Time>,
    /// Calls in flight that the provider was seen to take, by model, where it refused some: the lowest that any pod has
    /// learned.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["model".into()]))]
    #[schemars(length(max = 64))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learned_concurrency: Vec<ModelConcurrency>,
    /// How many of its keys the provider refuses (401). Absent when none.
    #[schemars(range(min = 0, max = 32))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_keys: Option<i32>,
    /// `Accepted`, `ResolvedRefs`, `Programmed`, `Ready`, and `Funded` where the balance is watched.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 8))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
