//! How one of several backends of the same priority is chosen.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How one of several backends of the same priority is chosen. A backend in the pod's own zone goes before others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Balancing {
    /// By what. Default: `Weighted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// What stays with the backend that served it before, while that backend is healthy: its context cache holds the
    /// prefix. Default: `Conversation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
}

/// How one of several backends of the same priority is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Strategy {
    /// By chance, in proportion to `weight`.
    #[default]
    Weighted,
    /// The one with the fewest calls in flight for its weight.
    LeastInFlight,
    /// The better of two drawn by weight: fewer calls in flight times the time to the first token, peaks first.
    PeakEwma,
    /// By a hash of what `affinity` names (the consumer, where it is `None`): the same goes to the same backend.
    ConsistentHash,
}

/// What stays with the backend that served it before, while that backend is healthy: its context cache holds the prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Affinity {
    /// A conversation: the consumer, the system message and the first user message.
    #[default]
    Conversation,
    /// A consumer.
    Consumer,
    /// Nothing.
    None,
}
