//! `DeepSeekBackend`: one account at one provider, shared by many routes.

use super::{SecretKeyRef, SecretSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
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
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = "1")
)]
#[x_kube(
    validation = Rule::new("!has(self.tls) || self.baseUrl.startsWith('https://')").message("tls needs an https baseUrl").field_path(".tls")
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
}

/// How an `https` backend is verified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendTls {
    /// PEM certificates of the authorities that may have signed the backend's certificate, and no others.
    pub ca_secret_ref: SecretKeyRef,
}

/// What is sent to DeepSeek as `user_id` where the caller sends none. It separates context caches, scheduling and
/// rate limits of one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum UserId {
    /// Nothing.
    #[default]
    Caller,
    /// A name made of the consumer's by a hash: the same for the same consumer, and telling nothing about it.
    Consumer,
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
    /// `Accepted`, `ResolvedRefs`, `Programmed` and `Ready`.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 8))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
