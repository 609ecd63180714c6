//! What a client is given besides a backend's fresh answer: kept answers, and signs of life.

use super::DurationString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Answers that are kept and given again to the very same call. `cache: {}` keeps them for 5 minutes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// How long an answer is given again, at most `24h`. Default: `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<DurationString>,
    /// Who shares an answer. Default: `Consumer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<CacheScope>,
    /// Whether identical calls in flight share one call of the backend. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<bool>,
}

/// Who shares a cached answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum CacheScope {
    /// Calls of the same consumer.
    #[default]
    Consumer,
    /// All calls of the route.
    Route,
}

/// Signs of life to the client while there is nothing to send yet, so that nothing on the way cuts a quiet connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("!has(self.interval) || duration(self.interval) >= duration('1s')").message("interval must be at least 1s").field_path(".interval")
)]
#[serde(rename_all = "camelCase")]
pub struct KeepAlive {
    /// How long a client is left without a byte of a stream before it gets a comment, `1s` to `24h`. Default: `15s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<DurationString>,
    /// Whether an answer in one piece is preceded by blank lines meanwhile, as DeepSeek does. Its status is then 200
    /// whatever comes: a failure stands in the body. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blank_padding: Option<bool>,
}
