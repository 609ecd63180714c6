//! What happens when an attempt fails: retries, hedging, circuit breakers, and what is left when every backend is out.

use super::DurationString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens when an attempt fails, hesitates or breaks off.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("!has(self.hedgeAfter) || ((!has(self.attempts) || self.attempts > 1) && (!has(self.budgetPercent) || self.budgetPercent > 0))").message("hedgeAfter needs attempts above 1 and budgetPercent above 0").field_path(".hedgeAfter")
)]
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
    /// Repeated and hedged attempts at a backend, in percent of the first attempts at it: so that retries do not finish
    /// off a backend that is struggling. 0: none. Each gateway pod counts for itself. Default: 20.
    #[schemars(range(min = 0, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_percent: Option<i32>,
    /// A second backend is asked for a stream of which the first has sent no token for this long; the first token wins, the other call is
    /// cancelled. It counts as an attempt and costs prompt tokens twice. Shorter than `timeouts.request`. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedge_after: Option<DurationString>,
    /// What happens when a stream breaks, stalls or ends early after content has flowed. Default: `Fail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid_stream: Option<MidStream>,
    /// When a backend is left alone for a while. Each gateway pod decides for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreaker>,
    /// What is answered when every backend is out, told by the header `x-deepseek-gateway-fallback`: `cached`, `model` or
    /// `static`. Default: an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
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

/// A circuit breaker per backend and model: opens on a high share of failures or on timeouts one after the other, closes
/// after a successful trial.
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
    /// Timeouts one after the other that open it, whatever the share. Default: 3.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_timeouts: Option<i32>,
    /// How long after closing again the backend takes to get its whole share of the calls back. `0s` (at once) to `24h`.
    /// Default: `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<DurationString>,
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

/// What is answered when every backend is out: the first of these that there is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("(has(self.cached) && self.cached) || has(self.model) || has(self.static)").message("fallback needs one of cached: true, model and static")
)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// First the last good answer to the very same call, however old. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<bool>,
    /// Then another model of the same gateway, such as a smaller one, if the caller may use it. Its own fallback is not
    /// followed.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Then a fixed text.
    #[serde(default, rename = "static", skip_serializing_if = "Option::is_none")]
    pub static_: Option<StaticAnswer>,
}

/// A fixed text as an answer. Chat calls only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StaticAnswer {
    /// What the assistant says, at most 4096 characters.
    #[schemars(length(min = 1, max = 4096))]
    pub content: String,
}
