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
/// `spec.timeouts.firstToken` while another backend can be asked.
pub const FIRST_TOKEN_MS: u64 = 12_000;
/// `spec.timeouts.firstToken` of the last backend that can be asked.
pub const LAST_FIRST_TOKEN_MS: u64 = 60_000;
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

/// `spec.failover.circuitBreaker.consecutiveTimeouts`.
pub const BREAKER_CONSECUTIVE_TIMEOUTS: u32 = 3;
/// `spec.failover.circuitBreaker.slowStart`.
pub const BREAKER_SLOW_START_MS: u64 = 10_000;
/// `spec.failover.budgetPercent`.
pub const RETRY_BUDGET_PERCENT: u32 = 20;
/// `spec.timeouts.byteIdle`.
pub const BYTE_IDLE_MS: u64 = 120_000;
/// `spec.keepAlive.blankPadding`.
pub const BLANK_PADDING: bool = false;
/// `spec.cache.merge`.
pub const CACHE_MERGE: bool = true;
/// `spec.keepAlive.interval`.
pub const KEEP_ALIVE_MS: u64 = 15_000;
/// `spec.cache.ttl`.
pub const CACHE_TTL_MS: u64 = 300_000;
/// `DeepSeekBackend` `spec.concurrency.queue`.
pub const QUEUE: u64 = 100;
/// `DeepSeekBackend` `spec.concurrency.queueTimeout`.
pub const QUEUE_TIMEOUT_MS: u64 = 10_000;
/// Calls in flight that DeepSeek takes of one account, by model (`DeepSeekBackend` `spec.concurrency.models`).
pub const DEEPSEEK_CONCURRENCY: [(&str, u64); 2] = [("deepseek-flash", 2500), ("deepseek-v4-pro", 500)];
/// `DeepSeekBackend` `spec.balance.interval`.
pub const BALANCE_INTERVAL_MS: u64 = 60_000;
/// `DeepSeekGateway` `spec.limits.maxInFlight`.
pub const MAX_IN_FLIGHT: u64 = 10_000;
/// `DeepSeekGateway` `spec.limits.maxBufferedBytes`.
pub const MAX_BUFFERED_BYTES: u64 = 256 << 20;
/// `DeepSeekGateway` `spec.limits.maxCacheBytes`.
pub const MAX_CACHE_BYTES: u64 = 64 << 20;

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
