//! Every default of the API, in one place: a field that is left out means what stands here.
//!
//! The field docs in `crds` repeat these figures for `kubectl explain`.

use deepseek_crds::v1alpha1::{ListenerProtocol, Replicas, RetryOn};

/// `DeepSeekGateway` `spec.replicas.min`.
pub const MIN_REPLICAS: i32 = 2;
/// `DeepSeekGateway` `spec.replicas.max`, unless `min` is more.
pub const MAX_REPLICAS: i32 = 10;
/// `DeepSeekGateway` `spec.autoscaling.targetCPUUtilizationPercentage`.
pub const TARGET_CPU_PERCENT: i32 = 65;
/// Name, port and protocol of the listener of a gateway that names none.
pub const LISTENER: (&str, u16, ListenerProtocol) = ("http", 8080, ListenerProtocol::HTTP);
/// `DeepSeekGateway` `spec.limits.maxRequestBodyBytes`.
pub const MAX_REQUEST_BODY_BYTES: u64 = 32 << 20;
/// `DeepSeekGateway` `spec.drain.delay`.
pub const DRAIN_DELAY_MS: u64 = 5_000;
/// `DeepSeekGateway` `spec.drain.timeout`.
pub const DRAIN_TIMEOUT_MS: u64 = 600_000;

/// `spec.backends[].priority`.
pub const PRIORITY: u32 = 0;
/// `spec.backends[].weight`.
pub const WEIGHT: u32 = 100;
/// `spec.quota[].timeZone`.
pub const TIME_ZONE: &str = "UTC";

/// `spec.timeouts.connect`.
pub const CONNECT_MS: u64 = 2_000;
/// `spec.timeouts.firstToken`.
pub const FIRST_TOKEN_MS: u64 = 60_000;
/// `spec.timeouts.idle`.
pub const IDLE_MS: u64 = 60_000;
/// `spec.timeouts.request`.
pub const REQUEST_MS: u64 = 600_000;

/// `spec.failover.attempts`.
pub const ATTEMPTS: u32 = 3;
/// `spec.failover.retryOn`.
pub const RETRY_ON: [RetryOn; 6] = [
    RetryOn::ConnectFailure,
    RetryOn::Timeout,
    RetryOn::RateLimited,
    RetryOn::ServerError,
    RetryOn::EmptyResponse,
    RetryOn::BackendRefused,
];
/// `spec.failover.backoff.base`.
pub const BACKOFF_BASE_MS: u64 = 100;
/// `spec.failover.backoff.max`.
pub const BACKOFF_MAX_MS: u64 = 2_000;
/// `spec.failover.backoff.jitter`.
pub const JITTER: bool = true;
/// `spec.failover.circuitBreaker.errorPercent`.
pub const BREAKER_ERROR_PERCENT: u32 = 50;
/// `spec.failover.circuitBreaker.minRequests`.
pub const BREAKER_MIN_REQUESTS: u32 = 10;
/// `spec.failover.circuitBreaker.window`.
pub const BREAKER_WINDOW_MS: u64 = 10_000;
/// `spec.failover.circuitBreaker.openFor`.
pub const BREAKER_OPEN_FOR_MS: u64 = 15_000;

/// Fewest and most pods of a gateway.
#[must_use]
pub fn replicas(replicas: Option<&Replicas>) -> (i32, i32) {
    let min = replicas.and_then(|r| r.min);
    let max = replicas.and_then(|r| r.max);
    match (min, max) {
        (Some(min), Some(max)) => (min, max),
        (Some(min), None) => (min, MAX_REPLICAS.max(min)),
        (None, Some(max)) => (MIN_REPLICAS.min(max), max),
        (None, None) => (MIN_REPLICAS, MAX_REPLICAS),
    }
}
