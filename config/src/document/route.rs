//! The document of a route: who may call, what serves it, how long, how much, and what when it fails.

use super::{Backend, ObjectId};
use deepseek_crds::v1alpha1::{Affinity, CacheScope, MidStream, QuotaMode, QuotaPer, RetryOn, Strategy};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The name clients ask for.
    pub model: String,
    /// More names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Labels a consumer must carry; absent: every consumer may call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<BTreeMap<String, String>>,
    /// What serves it.
    pub backends: Vec<RouteBackend>,
    /// Limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<Quota>,
    /// How long each phase may take.
    pub timeouts: Timeouts,
    /// What happens when an attempt fails.
    pub failover: Failover,
    /// How one of several backends of the same priority is chosen.
    #[serde(default)]
    pub balancing: Balancing,
    /// Answers that are kept and given again; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Signs of life while nothing is there to send yet.
    pub keep_alive: KeepAlive,
}

/// How one of several backends of the same priority is chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Balancing {
    /// By what.
    #[serde(default)]
    pub strategy: Strategy,
    /// What stays with the backend that it was served by before, while that one is healthy.
    #[serde(default)]
    pub affinity: Affinity,
}

/// Answers that are kept and given again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// For how long.
    pub ttl_ms: u64,
    /// Who shares them.
    pub scope: CacheScope,
    /// Whether identical calls in flight share one call of the backend.
    pub merge: bool,
}

/// Signs of life while nothing is there to send yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeepAlive {
    /// How long a client is left without a byte.
    pub interval_ms: u64,
    /// Whether an answer in one piece is preceded by blank lines too. Its status is then 200 whatever comes.
    pub blank_padding: bool,
}

/// One backend of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteBackend {
    /// Its name in the route.
    pub name: String,
    /// The account.
    pub target: Target,
    /// The model name it knows; absent: what the client asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Lower is tried first.
    pub priority: u32,
    /// Share within its priority; 0 takes part in failover only.
    pub weight: u32,
}

/// The account behind a route's backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// A document of its own.
    Ref(ObjectId),
    /// Written out in the route.
    Inline(Backend),
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Whose use is counted together.
    pub per: QuotaPer,
    /// What is counted, and how much of it.
    pub limit: Limit,
    /// Whether it refuses or only counts.
    pub mode: QuotaMode,
}

/// What a quota counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Limit {
    /// Requests per window.
    Requests(Rate),
    /// Tokens per window.
    Tokens(Rate),
    /// Requests in flight.
    Concurrent(u64),
}

/// An amount per window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// How much.
    pub amount: u64,
    /// In how long.
    pub window: Window,
}

/// A window of the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// How many units.
    pub count: u32,
    /// The unit.
    pub unit: WindowUnit,
    /// IANA time zone of windows of days and months.
    pub time_zone: String,
}

/// Unit of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WindowUnit {
    /// Seconds.
    Second,
    /// Minutes.
    Minute,
    /// Hours.
    Hour,
    /// Days, from midnight to midnight.
    Day,
    /// Months, from the first to the first.
    Month,
}

/// How long each phase may take, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// TCP and TLS handshake.
    pub connect_ms: u64,
    /// To the first frame with content of one attempt (streams), as long as another backend can be asked.
    pub first_token_ms: u64,
    /// The same where no other backend can be asked.
    pub last_first_token_ms: u64,
    /// Between two frames with content (streams).
    pub idle_ms: u64,
    /// Between two bytes of any kind, once headers have arrived.
    pub byte_idle_ms: u64,
    /// One attempt of a call that is not streamed, as long as another backend or attempt is left.
    pub answer_ms: u64,
    /// The whole call.
    pub request_ms: u64,
}

/// What happens when an attempt fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// Attempts in all.
    pub attempts: u32,
    /// Failures that another attempt may follow.
    pub retry_on: BTreeSet<RetryOn>,
    /// Pause before the same backend is tried again.
    pub backoff_base_ms: u64,
    /// Longest pause.
    pub backoff_max_ms: u64,
    /// Whether the pause is drawn between 0 and its full length.
    pub jitter: bool,
    /// When a backend is left alone.
    pub breaker: Breaker,
    /// Repeated and hedged attempts at a backend, in percent of its first ones.
    pub budget_percent: u32,
    /// A second backend is asked when the first has no token after this long; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedge_after_ms: Option<u64>,
    /// What happens when a stream breaks after content has flowed.
    #[serde(default)]
    pub mid_stream: MidStream,
    /// What is answered when every backend is out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
}

/// What is answered when every backend is out, in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// The last good answer to the same request.
    pub cached: bool,
    /// Another model of the same gateway, if the caller may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// A fixed text (chat only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// When a backend is left alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// Share of failures that opens it, in percent.
    pub error_percent: u32,
    /// Attempts needed before the share counts.
    pub min_requests: u32,
    /// Length of the window.
    pub window_ms: u64,
    /// How long it stays open.
    pub open_for_ms: u64,
    /// Timeouts one after the other that open it, whatever the share.
    pub consecutive_timeouts: u32,
    /// How long after closing again it takes to get its whole share of the calls back.
    pub slow_start_ms: u64,
}
