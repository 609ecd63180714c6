//! What a gateway pod answers on `GET /status` of its admin port: what it really loaded and sees.
//!
//! `GET /status?after=REVISION&wait=SECONDS` answers at once when the report's revision is above `REVISION`, else when
//! it has become so or `SECONDS` (at most 30) have passed: the operator hears of a load within milliseconds and polls
//! nothing. The revision moves when the loaded objects or the state of a backend change, not with traffic.

use crate::document::ObjectId;
use deepseek_crds::v1alpha1::BackendState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Port of the admin listener: `/livez`, `/readyz`, `/startupz`, `/metrics`, `/status`.
pub const ADMIN_PORT: u16 = 15021;

/// One pod's report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Version of the gateway binary.
    pub version: String,
    /// Moves with every change of `objects` and `backends`.
    pub revision: u64,
    /// Whether the pod is leaving.
    pub draining: bool,
    /// Requests in flight, streams included.
    pub in_flight: u64,
    /// Streams in flight.
    pub streams: u64,
    /// Every document the pod knows of.
    pub objects: Vec<LoadedObject>,
    /// Every backend of every loaded route.
    pub backends: Vec<BackendReport>,
    /// Every loaded route that has seen traffic.
    pub routes: Vec<RouteReport>,
    /// Every account behind a loaded `DeepSeekBackend` of which there is something to tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<AccountReport>,
}

/// One account as one pod sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountReport {
    /// The `DeepSeekBackend`.
    pub backend: ObjectId,
    /// Since when it has been parked for want of balance (402, or what the provider said of its balance), RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked_since: Option<String>,
    /// The balance that this pod was told; only from the pod that polls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<BalanceReport>,
    /// Models whose limit of calls in flight was learned from refusals: the limit of the whole account.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub learned_concurrency: BTreeMap<String, u64>,
    /// Keys that the provider refused, of how many; the keys themselves are never told.
    #[serde(default)]
    pub refused_keys: u32,
}

/// What a provider said of an account's balance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BalanceReport {
    /// Whether the provider takes calls.
    pub available: bool,
    /// Total, as the provider writes it, such as `110.00`.
    pub total: String,
    /// `CNY` or `USD`.
    pub currency: String,
    /// Whether it is below the configured `low`.
    pub low: bool,
    /// When it was told, RFC 3339.
    pub at: String,
}

/// One document in one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadedObject {
    /// The resource.
    pub id: ObjectId,
    /// SHA-256 of the document in use; absent when none ever loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Why a newer document was refused; the one in `sha256` stays in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// One backend of one route, as one pod sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendReport {
    /// The route.
    pub route: ObjectId,
    /// The backend's name in the route.
    pub name: String,
    /// The `DeepSeekBackend` it refers to; absent where it is written out in the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<ObjectId>,
    /// State of its circuit breaker, or that its account is parked.
    pub state: BackendState,
    /// The last failure's kind, when it is not healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// What one route carried in one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteReport {
    /// The route.
    pub route: ObjectId,
    /// Requests since the pod started.
    pub requests: u64,
    /// Use of the route's fullest quota, in percent of this pod's part; absent without quotas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_used_percent: Option<u32>,
}
