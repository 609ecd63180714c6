//! What a provider's account can take: calls in flight, balance, and whom it is told of.

use super::DurationString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Calls in flight that an account takes, all gateway pods and keys together. A call keeps its place from being sent
/// until its answer has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountConcurrency {
    /// Limits by model, at most 64; of a model left out, `other`. Default, with flavor `DeepSeek`: `deepseek-flash` 2500
    /// and `deepseek-v4-pro` 500, each unless it stands here.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["model".into()]))]
    #[schemars(length(max = 64))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelConcurrency>,
    /// Limit of each other model. Default: none but what the provider's refusals teach.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<i32>,
    /// Calls that wait for a place, for each model and in each pod; consumers take turns. A call beyond them goes to
    /// another backend at once. 0: none waits. Default: 100.
    #[schemars(range(min = 0, max = 100_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<i32>,
    /// How long a call waits for a place before it goes to another backend, at most `24h`. Default: `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_timeout: Option<DurationString>,
}

/// Calls in flight of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelConcurrency {
    /// The model, by the name that the backend knows.
    #[schemars(length(min = 1, max = 256))]
    pub model: String,
    /// Calls in flight.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub limit: i32,
}

/// How an account's balance is watched. Asking for it is free.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("!has(self.watch) || self.watch || (!has(self.interval) && !has(self.low))").message("interval and low have no meaning with watch: false"),
    validation = Rule::new("!has(self.interval) || duration(self.interval) >= duration('10s')").message("interval must be at least 10s").field_path(".interval")
)]
#[serde(rename_all = "camelCase")]
pub struct AccountBalance {
    /// Whether it is watched. Without it an account that runs out is left alone after the first refused call (402), and
    /// tried again from time to time. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<bool>,
    /// How often one pod of each gateway asks for it, `10s` to `24h`; four times as often while the account is out of
    /// balance. Default: `1m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<DurationString>,
    /// A balance below it, in the account's currency, makes condition `Funded` false with reason `LowBalance`; calls go
    /// on. A number in quotes with up to 6 decimals, such as `"10.00"`. Default: none.
    #[schemars(length(min = 1, max = 16), regex(pattern = r"^[0-9]{1,9}(\.[0-9]{1,6})?$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<String>,
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
