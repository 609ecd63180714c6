//! `spec.failover`: attempts, what may be retried, backoff, hedging, circuit breaker.

use super::cx::Cx;
use super::duration::human;
use super::fallback;
use crate::document::ObjectId;
use crate::{defaults, document};
use deepseek_crds::v1alpha1::{Backoff, CircuitBreaker, DeepSeekRouteSpec};

/// Compiles the failover of `route` on `gateway`, whose whole call may take `request_ms`.
pub(super) fn compile(
    cx: &mut Cx<'_>,
    route: &DeepSeekRouteSpec,
    gateway: Option<&ObjectId>,
    request_ms: u64,
) -> document::Failover {
    let spec = route.failover.as_ref();
    let attempts =
        cx.small("spec.failover.attempts", spec.and_then(|f| f.attempts), 1..=10, defaults::ATTEMPTS);
    let budget_percent = cx.small(
        "spec.failover.budgetPercent",
        spec.and_then(|f| f.budget_percent),
        0..=100,
        defaults::RETRY_BUDGET_PERCENT,
    );
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
        budget_percent,
        hedge_after_ms: hedge_after(cx, route, (attempts, budget_percent), request_ms),
        mid_stream: spec.and_then(|f| f.mid_stream).unwrap_or_default(),
        fallback: fallback::compile(cx, route, gateway),
    }
}

/// Hedging that could never happen is refused: whoever asks for it relies on it.
fn hedge_after(
    cx: &mut Cx<'_>,
    route: &DeepSeekRouteSpec,
    (attempts, budget_percent): (u32, u32),
    request_ms: u64,
) -> Option<u64> {
    const PATH: &str = "spec.failover.hedgeAfter";
    let ms = cx.duration(PATH, route.failover.as_ref()?.hedge_after.as_ref())?;
    if route.backends.len() < 2 {
        cx.invalid(PATH, "there is no second backend to ask. Add one, or remove hedgeAfter.");
    }
    if attempts < 2 || budget_percent == 0 {
        cx.invalid(
            PATH,
            "a hedged attempt is a second one, and counts against the budget. Raise attempts above 1 and \
             budgetPercent above 0, or remove hedgeAfter.",
        );
    }
    if ms >= request_ms {
        cx.invalid(
            PATH,
            format_args!(
                "{} is not shorter than the whole call may take, request: {}. Lower hedgeAfter, or raise \
                 spec.timeouts.request.",
                human(ms),
                human(request_ms)
            ),
        );
    }
    Some(ms)
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
    let slow_start =
        cx.duration_or_zero(format_args!("{PATH}.slowStart"), spec.and_then(|b| b.slow_start.as_ref()));
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
        consecutive_timeouts: cx.small(
            format_args!("{PATH}.consecutiveTimeouts"),
            spec.and_then(|b| b.consecutive_timeouts),
            1..=1000,
            defaults::BREAKER_CONSECUTIVE_TIMEOUTS,
        ),
        slow_start_ms: slow_start.unwrap_or(defaults::BREAKER_SLOW_START_MS),
    }
}
