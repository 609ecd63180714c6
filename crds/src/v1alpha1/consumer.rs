//! `DeepSeekConsumer`: who calls.

use super::{GatewayRef, SecretKeyRef};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Who calls: a team or an application, with its keys. Its labels decide which routes it may call.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "deepseekroute.io",
    version = "v1alpha1",
    kind = "DeepSeekConsumer",
    plural = "deepseekconsumers",
    namespaced,
    cel,
    status = "DeepSeekConsumerStatus",
    derive = "PartialEq",
    shortname = "dsc",
    category = "deepseek",
    doc = "Who calls: a team or an application, with its keys. Its labels decide which routes it may call.",
    validation = Rule::new("self.metadata.name.size() <= 63").message("the name of a DeepSeekConsumer is at most 63 characters"),
    printcolumn(name = "Gateways", type_ = "string", json_path = ".status.gateways"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = "1")
)]
#[serde(rename_all = "camelCase")]
pub struct DeepSeekConsumerSpec {
    /// The gateway it calls. Default: the `DeepSeekGateway` with `spec.default: true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_ref: Option<GatewayRef>,
    /// Keys that identify it, 1 to 16, sent as `Authorization: Bearer …` or `x-api-key: …`. Two allow rotation
    /// without a gap. Only their SHA-256 leaves the operator. Each at least 16 characters.
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[schemars(length(min = 1, max = 16))]
    pub api_keys: Vec<ConsumerApiKey>,
}

/// One API key of a consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerApiKey {
    /// The key of a Secret in the same namespace.
    pub secret_ref: SecretKeyRef,
}

/// What is known of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeepSeekConsumerStatus {
    /// The generation that this status is about.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Gateway pods that loaded this generation / ready gateway pods.
    #[schemars(length(max = 16))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateways: Option<String>,
    /// `Accepted`, `ResolvedRefs`, `Programmed` and `Ready`.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 8))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
