//! What a gateway pod takes from clients, and holds in memory for them.

#![expect(clippy::struct_field_names, reason = "every limit says that it is a maximum")]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What a pod takes from clients. Beyond `maxInFlight` and `maxBufferedBytes` a request gets 503 with `Retry-After` at
/// once. `pods.resources.limits.memory` should leave room for `maxBufferedBytes`, `maxCacheBytes` and 100 MiB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("!has(self.maxRequestBodyBytes) || !has(self.maxBufferedBytes) || self.maxRequestBodyBytes <= self.maxBufferedBytes").message("maxRequestBodyBytes must not be above maxBufferedBytes").field_path(".maxRequestBodyBytes")
)]
#[serde(rename_all = "camelCase")]
pub struct GatewayLimits {
    /// Largest request body in bytes; a larger one gets 413. Default: 33554432 (32 MiB), or `maxBufferedBytes` where
    /// that is less.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_request_body_bytes: Option<i64>,
    /// Requests in flight, streams included. Default: 10000.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<i64>,
    /// Bytes of request bodies and of answers on their way, all requests together. Default: 268435456 (256 MiB), or
    /// `maxRequestBodyBytes` where that is more.
    #[schemars(range(min = 1_048_576, max = 68_719_476_736_i64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_buffered_bytes: Option<i64>,
    /// Bytes of answers kept for `cache` and `failover.fallback.cached` of routes; the least used go first. 0: none are
    /// kept. Default: 67108864 (64 MiB).
    #[schemars(range(min = 0, max = 68_719_476_736_i64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cache_bytes: Option<i64>,
}
