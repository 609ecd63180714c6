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
    /// What the answer says of the quotas.
    pub tightest: Tightest,
}

/// How the quotas stand that have least left: of requests, and of tokens.
#[derive(Default)]
pub struct Tightest([Option<Standing>; 2]);

/// Reserves every quota, or none.
pub fn admit(
    shared: &Shared,
    route: &Route,
    consumer: &Consumer,
    call: &Call,
) -> Result<Admission, GatewayError> {
    let mut reservations = Vec::with_capacity(route.quotas.len());
    let mut tightest = Tightest::default();
    let now = now_ms();
    for quota in &route.quotas {
        let amount = if quota.unit() == Unit::Tokens { call.estimated_tokens } else { 1 };
        match quota.reserve(&consumer.name, amount, now) {
            Ok((reservation, standing)) => {
                if reservation.over() {
                    shared.metrics.over_quota(&route.state.metrics, standing.unit.as_str(), false);
                }
                reservations.push(reservation);
                if quota.enforced() {
                    tightest.note(standing);
                }
            }
            Err(standing) => {
                reservations.into_iter().for_each(Reservation::give_back);
                shared.metrics.over_quota(&route.state.metrics, standing.unit.as_str(), true);
                tightest.note(standing);
                return Err(refusal(standing, &tightest));
            }
        }
    }
    Ok(Admission { reservations, tightest })
}

impl Tightest {
    fn note(&mut self, standing: Standing) {
        let slot = match standing.unit {
            Unit::Requests => &mut self.0[0],
            Unit::Tokens => &mut self.0[1],
            Unit::Concurrent => return,
        };
        if slot.is_none_or(|held| standing.remaining < held.remaining) {
            *slot = Some(standing);
        }
    }

    /// Adds the `x-ratelimit-*` headers.
    pub fn tell(&self, headers: &mut HeaderMap) {
        for standing in self.0.iter().flatten() {
            let [limit, remaining, reset] = match standing.unit {
                Unit::Tokens => {
                    ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]
                }
                _ => [
                    "x-ratelimit-limit-requests",
                    "x-ratelimit-remaining-requests",
                    "x-ratelimit-reset-requests",
                ],
            }
            .map(HeaderName::from_static);
            headers.insert(limit, HeaderValue::from(standing.limit));
            headers.insert(remaining, HeaderValue::from(standing.remaining));
            let seconds = format!("{}.{:03}s", standing.reset_ms / 1000, standing.reset_ms % 1000);
            if let Ok(value) = HeaderValue::try_from(seconds) {
                headers.insert(reset, value);
            }
        }
    }
}

fn refusal(standing: Standing, tightest: &Tightest) -> GatewayError {
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
    tightest.tell(error.headers.get_or_insert_default());
    error
}
