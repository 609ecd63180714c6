//! Another model in place of the one whose backends are out.

use super::Kind;
use crate::pipeline::admit::admit;
use crate::pipeline::check::{Call, check};
use crate::pipeline::dispatch::{Errand, Served, dispatch};
use crate::pipeline::models::may_call;
use crate::pipeline::quota::{Reservation, Unit};
use crate::pipeline::settle::Source;
use crate::snapshot::{Consumer, Route, Snapshot};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The route that `route` falls back on, if the caller may use it.
#[must_use]
pub fn spare(snapshot: &Snapshot, route: &Route, consumer: &Consumer) -> Option<Arc<Route>> {
    let name = route.policy.failover.fallback.as_ref()?.model.as_ref()?;
    snapshot.models.get(name).filter(|spare| may_call(consumer, spare)).cloned()
}

/// Asks the backends of `spare`. The call is that route's from then on: its quotas, its timeouts, its metrics. Where nothing
/// comes of it, everything is as before.
pub(super) async fn ask(errand: &mut Errand, spare: &Arc<Route>) -> Option<Served> {
    let asked = Arc::clone(&errand.settlement.route);
    let name = asked.policy.failover.fallback.as_ref()?.model.as_ref()?;
    let call = renamed(&errand.call, name)?;
    let settlement = &errand.settlement;
    let admission = admit(&settlement.shared, spare, &settlement.consumer, &call).ok()?;
    spare.state.requests.fetch_add(1, Ordering::Relaxed);
    let before = std::mem::replace(&mut errand.call, call);
    errand.settlement.route = Arc::clone(spare);
    // Of that route nothing was asked yet: the first attempt at its backends is no repeated one.
    let attempts = std::mem::take(&mut errand.settlement.attempts);
    // Backends are told apart by their place in a route.
    let trail = std::mem::take(&mut errand.settlement.trail);
    match dispatch(errand).await {
        Ok(served) if served.answer.head.status.is_success() => {
            errand.settlement.source = Source::Fallback(Kind::Model);
            move_to(&mut errand.settlement.reservations, admission.reservations);
            Some(served)
        }
        _ => {
            admission.reservations.into_iter().for_each(Reservation::give_back);
            (errand.call, errand.settlement.route) = (before, asked);
            errand.settlement.attempts += attempts;
            errand.settlement.trail = trail;
            None
        }
    }
}

/// The call as one for the model `name`.
fn renamed(call: &Call, name: &str) -> Option<Call> {
    let name = serde_json::to_string(name).ok()?;
    let (start, end) = (call.body.get(..call.model_span.start)?, call.body.get(call.model_span.end..)?);
    let body = Bytes::from([start, name.as_bytes(), end].concat());
    check(call.endpoint, &body).ok()
}

/// The tokens are the other route's; the request counts at both.
fn move_to(reservations: &mut Vec<Reservation>, others: Vec<Reservation>) {
    let (tokens, rest) = reservations.drain(..).partition::<Vec<_>, _>(|held| held.unit() == Unit::Tokens);
    tokens.into_iter().for_each(Reservation::give_back);
    reservations.extend(rest.into_iter().chain(others));
}
