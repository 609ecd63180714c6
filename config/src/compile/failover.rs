//! `spec.failover`: attempts, what may be retried, backoff, circuit breaker.

use super::cx::Cx;
use super::duration::human;
use crate::{defaults, document};
use deepseek_crds::v1alpha1::{Backoff, CircuitBreaker, Failover, MidStream};

pub(super) fn compile(cx: &mut Cx<'_>, spec: Option<&Failover>) -> document::Failover {
    let attempts =
        cx.small("spec.failover.attempts", spec.and_then(|f| f.attempts), 1..=10, defaults::ATTEMPTS);
    let retry_on = spec.and_then(|f| f.retry_on.clone()).unwrap_or_else(|| defaults::RETRY_ON.to_vec());
    let backoff = spec.and_then(|f| f.backoff.as_ref());
    let (backoff_base_ms, backoff_max_ms) = pauses(cx, backoff);
    document::Failover {
        attempts,
        retry_on: retry_on.into_iter().collect(),
        backoff_base_ms,
        backoff_max_ms,
        jitter: backoff.and_then(|b| b.jitter).unwrap_or(defaults::JITTER),
        breaker: breaker(cx, spec.and_then(|f| f.circuit_breaker.as_ref())),
        budget_percent: defaults::RETRY_BUDGET_PERCENT,
        hedge_after_ms: None,
        mid_stream: MidStream::default(),
        fallback: None,
    }
}

fn pauses(cx: &mut Cx<'_>, spec: Option<&Backoff>) -> (u64, u64) {
    let base = cx.duration_or_zero("spec.failover.backoff.base", spec.and_then(|b| b.base.as_ref()));
    let max = cx.duration_or_zero("spec.failover.backoff.max", spec.and_then(|b| b.max.as_ref()));
    let max_ms = max.unwrap_or(defaults::BACKOFF_MAX_MS);
    if let Some(base) = base
        && base > max_ms
    {
        let by_default = if max.is_none() { " (its default)" } else { "" };
        cx.invalid(
            "spec.failover.backoff.base",
            format_args!(
                "{} is longer than the longest pause, max: {}{by_default}. Lower base, or raise \
                 spec.failover.backoff.max.",
                human(base),
                human(max_ms)
            ),
        );
    }
    (base.unwrap_or(defaults::BACKOFF_BASE_MS.min(max_ms)), max_ms)
}

fn breaker(cx: &mut Cx<'_>, spec: Option<&CircuitBreaker>) -> document::Breaker {
    const PATH: &str = "spec.failover.circuitBreaker";
    let window = cx.duration(format_args!("{PATH}.window"), spec.and_then(|b| b.window.as_ref()));
    let open_for = cx.duration(format_args!("{PATH}.openFor"), spec.and_then(|b| b.open_for.as_ref()));
    document::Breaker {
        error_percent: cx.small(
            format_args!("{PATH}.errorPercent"),
            spec.and_then(|b| b.error_percent),
            1..=100,
            defaults::BREAKER_ERROR_PERCENT,
        ),
        min_requests: cx.small(
            format_args!("{PATH}.minRequests"),
            spec.and_then(|b| b.min_requests),
            1..=10_000,
            defaults::BREAKER_MIN_REQUESTS,
        ),
        window_ms: window.unwrap_or(defaults::BREAKER_WINDOW_MS),
        open_for_ms: open_for.unwrap_or(defaults::BREAKER_OPEN_FOR_MS),
        consecutive_timeouts: defaults::BREAKER_CONSECUTIVE_TIMEOUTS,
        slow_start_ms: defaults::BREAKER_SLOW_START_MS,
    }
}
