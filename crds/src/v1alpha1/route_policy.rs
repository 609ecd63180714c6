//! What a route promises and allows: quotas and timeouts.

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
    validation = Rule::new("!has(self.request) || !has(self.idle) || duration(self.idle) <= duration(self.request)").message("idle must not be longer than request").field_path(".idle"),
    validation = Rule::new("!has(self.request) || !has(self.byteIdle) || duration(self.byteIdle) <= duration(self.request)").message("byteIdle must not be longer than request").field_path(".byteIdle"),
    validation = Rule::new("!has(self.request) || !has(self.answer) || duration(self.answer) <= duration(self.request)").message("answer must not be longer than request").field_path(".answer")
)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// TCP and TLS handshake with one backend. Default: `2s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<DurationString>,
    /// From sending a streamed call to the first frame with content of one attempt; keep-alive comments do not count.
    /// Default: `12s` while another backend can be asked, and `60s` for the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token: Option<DurationString>,
    /// Between two frames with content of a stream; keep-alive comments and empty frames do not count. Default: `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<DurationString>,
    /// Between two bytes of any kind, keep-alive comments and blank lines included, once the backend has begun to
    /// answer. Default: `2m`, or `request` where that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byte_idle: Option<DurationString>,
    /// One attempt of a call that is not streamed, as long as another attempt is left. Default: half of `request`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<DurationString>,
    /// The whole call: waiting and all attempts together. Default: `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<DurationString>,
}
