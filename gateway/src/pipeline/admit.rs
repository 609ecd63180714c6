//! Admission: every quota of the route is reserved, or the call is refused with what stands in the way.

use super::check::Call;
use super::error::{Code, GatewayError};
use super::quota::{Reservation, Standing, Unit, now_ms};
use crate::snapshot::{Consumer, Route, Shared};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

/// A call that was let in.
pub struct Admission {
    /// What was taken from each quota.
    pub reservations: Vec<Reservation>,
    /// The `x-ratelimit-*` headers of the answer.
    pub headers: HeaderMap,
}

/// Reserves every quota, or none.
pub fn admit(
    shared: &Shared,
    route: &Route,
    consumer: &Consumer,
    call: &Call,
) -> Result<Admission, GatewayError> {
    let mut reservations = Vec::with_capacity(route.quotas.len());
    let mut headers = HeaderMap::new();
    if route.quotas.is_empty() {
        return Ok(Admission { reservations, headers });
    }
    let now = now_ms();
    let mut tightest: [Option<Standing>; 2] = [None, None];
    for quota in &route.quotas {
        let amount = if quota.unit() == Unit::Tokens { call.estimated_tokens } else { 1 };
        match quota.reserve(&consumer.name, amount, now) {
            Ok((reservation, standing)) => {
                if reservation.over() {
                    shared.metrics.over_quota(&route.state.metrics, standing.unit.as_str(), false);
                }
                reservations.push(reservation);
                if quota.enforced() {
                    note(&mut tightest, standing);
                }
            }
            Err(standing) => {
                reservations.into_iter().for_each(Reservation::give_back);
                shared.metrics.over_quota(&route.state.metrics, standing.unit.as_str(), true);
                note(&mut tightest, standing);
                return Err(refusal(standing, headers_of(&tightest)));
            }
        }
    }
    headers.extend(headers_of(&tightest));
    Ok(Admission { reservations, headers })
}

fn note(tightest: &mut [Option<Standing>; 2], standing: Standing) {
    let slot = match standing.unit {
        Unit::Requests => &mut tightest[0],
        Unit::Tokens => &mut tightest[1],
        Unit::Concurrent => return,
    };
    if slot.is_none_or(|held| standing.remaining < held.remaining) {
        *slot = Some(standing);
    }
}

fn refusal(standing: Standing, headers: HeaderMap) -> GatewayError {
    let limit = standing.limit;
    let (code, message, wait) = match standing.unit {
        Unit::Concurrent => {
            let message = format!(
                "You have {limit} requests in flight, the most this gateway pod allows. Wait for one to end."
            );
            (Code::ConcurrencyExceeded, message, Duration::from_secs(1))
        }
        unit => {
            let wait = Duration::from_millis(standing.reset_ms);
            let unit = unit.as_str();
            let message = format!(
                "The quota of {limit} {unit} (this gateway pod's part) is used up. It is renewed in {} seconds.",
                wait.as_secs() + 1
            );
            (Code::RateLimitExceeded, message, wait)
        }
    };
    let mut error = GatewayError::new(code, message).retry_after(Some(wait));
    error.headers = Some(Box::new(headers));
    error
}

fn headers_of(tightest: &[Option<Standing>; 2]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for standing in tightest.iter().flatten() {
        let [limit, remaining, reset] = match standing.unit {
            Unit::Tokens => {
                ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]
            }
            _ => {
                ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]
            }
        }
        .map(HeaderName::from_static);
        headers.insert(limit, HeaderValue::from(standing.limit));
        headers.insert(remaining, HeaderValue::from(standing.remaining));
        let seconds = format!("{}.{:03}s", standing.reset_ms / 1000, standing.reset_ms % 1000);
        if let Ok(value) = HeaderValue::try_from(seconds) {
            headers.insert(reset, value);
        }
    }
    headers
}
