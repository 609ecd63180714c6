//! What a route promises and allows: quotas, timeouts, failover.

use super::{DurationString, WindowString};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One limit. Exactly one of `requests`, `tokens` and `concurrent` says what is counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("[has(self.requests), has(self.tokens), has(self.concurrent)].filter(x, x).size() == 1").message("set exactly one of requests, tokens and concurrent"),
    validation = Rule::new("has(self.concurrent) != has(self.window)").message("requests and tokens need a window such as 1m; concurrent takes none"),
    validation = Rule::new("!has(self.timeZone) || (has(self.window) && self.window.matches('(d|mo)$'))").message("timeZone goes with a window of days (d) or months (mo)")
)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Whose use is counted together. Default: `Consumer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<QuotaPer>,
    /// Requests per window.
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<i64>,
    /// Tokens (prompt and completion) per window. An estimate is taken before the call and settled to the real usage.
    #[schemars(range(min = 1, max = 1_000_000_000_000_000_i64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<i64>,
    /// Requests in flight at the same time.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<i64>,
    /// Length of the window, such as `1m`, `1h`, `1d`, `1mo`: at most `86400s`, `1440m`, `8784h`, `366d` or `12mo`.
    /// Windows follow the clock: `1h` starts at the full hour, `1d` at midnight and `1mo` on the first of the month in
    /// `timeZone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowString>,
    /// IANA time zone of windows of days and months, such as `Asia/Shanghai`. Default: `UTC`.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z][A-Za-z0-9_+/-]*$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// `Enforce` refuses what is over the limit; `Shadow` only counts and logs it. Default: `Enforce`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<QuotaMode>,
}

/// Whose use a quota counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum QuotaPer {
    /// Each consumer has the whole limit for itself.
    Consumer,
    /// All callers of the route share it.
    Route,
}

/// What happens over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum QuotaMode {
    /// The request is refused with 429.
    Enforce,
    /// The request passes and is counted as one that would have been refused.
    Shadow,
}

/// How long each phase of a call may take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("!has(self.request) || !has(self.connect) || duration(self.connect) <= duration(self.request)").message("connect must not be longer than request").field_path(".connect"),
    validation = Rule::new("!has(self.request) || !has(self.firstToken) || duration(self.firstToken) <= duration(self.request)").message("firstToken must not be longer than request").field_path(".firstToken"),
    validation = Rule::new("!has(self.request) || !has(self.idle) || duration(self.idle) <= duration(self.request)").message("idle must not be longer than request").field_path(".idle")
)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// TCP and TLS handshake with one backend. Default: `2s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<DurationString>,
    /// From sending a streamed call to the first frame with content of one attempt; keep-alive comments do not count.
    /// Default: `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token: Option<DurationString>,
    /// Between two frames with content of a stream; keep-alive comments do not count. Default: `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<DurationString>,
    /// The whole call, all attempts together. Default: `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<DurationString>,
}

/// What happens when an attempt fails before its first byte reached the client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// Attempts in all, the first one included. Default: 3.
    #[schemars(range(min = 1, max = 10))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// Which failures another attempt may follow; the rest goes to the client as it is.
    /// Default: `ConnectFailure`, `Timeout`, `RateLimited`, `ServerError`, `EmptyResponse`, `BackendRefused`.
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[schemars(length(max = 8))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_on: Option<Vec<RetryOn>>,
    /// The pause before the same backend is tried again; another backend is tried at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// When a backend is left alone for a while. Each gateway pod decides for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreaker>,
}

/// A failure of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum RetryOn {
    /// No connection: DNS, TCP or TLS failed, or the connection broke before an answer began.
    ConnectFailure,
    /// `connect` or `firstToken` ran out, or the backend answered 408.
    Timeout,
    /// The backend answered 429.
    RateLimited,
    /// The backend answered 500 or above.
    ServerError,
    /// The backend answered 200 with nothing in it.
    EmptyResponse,
    /// The backend refused our account: 401, 402 or 403.
    BackendRefused,
}

/// Exponential backoff: `base`, twice as much each time, at most `max`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("!has(self.base) || !has(self.max) || duration(self.base) <= duration(self.max)").message("base must not be longer than max").field_path(".base")
)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// Before the second attempt at the same backend. `0s` to `24h`. Default: `100ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<DurationString>,
    /// The longest pause. A longer `Retry-After` of the backend means that it is not tried again. Default: `2s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<DurationString>,
    /// Whether the pause is drawn between 0 and its full length ("full jitter"). Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<bool>,
}

/// A circuit breaker per backend: opens on a high share of failures, closes after a successful trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreaker {
    /// Share of failed attempts in the window that opens it, in percent. Default: 50.
    #[schemars(range(min = 1, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_percent: Option<i32>,
    /// Attempts the window needs before the share counts. Default: 10.
    #[schemars(range(min = 1, max = 10_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_requests: Option<i32>,
    /// Length of the window, at most `24h`. Default: `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<DurationString>,
    /// How long it stays open before a single trial request, at most `24h`. Default: `15s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_for: Option<DurationString>,
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

/// What happens when a stream breaks, stalls or ends early after content has flowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MidStream {
    /// The client gets one error event.
    #[default]
    Fail,
    /// Another backend continues the answer by prefix completion, unseen by the client; where that cannot be done the
    /// client gets one error event. The prompt is paid for twice.
    Resume,
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
