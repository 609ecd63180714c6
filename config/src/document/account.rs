//! The document of an account, or its part of a route's.

use crate::keys::KeyId;
use deepseek_crds::v1alpha1::{Flavor, UserId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An account at a provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// `http` or `https`, host, port and path; without a trailing slash.
    pub base_url: String,
    /// Kind of server.
    pub flavor: Flavor,
    /// Its keys, used in turn; empty for a server that needs none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api_keys: Vec<KeyId>,
    /// The only authorities trusted for it, as PEM; absent: the system's and Mozilla's roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<KeyId>,
    /// The zone it is in, as in the label `topology.kubernetes.io/zone`; a nearer backend is preferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Calls in flight that the account takes, all gateway pods and keys together.
    pub concurrency: Concurrency,
    /// How its balance is watched; absent: not at all (the provider has no such endpoint, or it is switched off).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<Balance>,
    /// What is sent as `user_id` where the caller sends none.
    #[serde(default)]
    pub user_id: UserId,
    /// Whether the operator knows the account to be out of balance, from the pod that polls it: no call is sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parked: bool,
}

/// Calls in flight that an account takes, for each model by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Concurrency {
    /// By the model name that the backend knows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, u64>,
    /// Of every other model; absent: no limit but what the provider's refusals teach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<u64>,
    /// Calls that may wait for a place, in one pod and for each model.
    pub queue: u64,
    /// How long one may wait.
    pub queue_timeout_ms: u64,
}

/// How an account's balance is watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Balance {
    /// How often it is asked for; four times as often while the account is parked.
    pub interval_ms: u64,
    /// Below it, in the account's currency and millionths, the account is said to be low; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_micros: Option<u64>,
}
