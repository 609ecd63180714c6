//! Which backend is asked next: lowest priority first, by weight within one, those not asked yet before those that
//! failed; never one whose breaker is open.

use super::breaker::Permit;
use crate::pipeline::endpoint::Endpoint;
use crate::snapshot::{Route, RouteBackend};
use rand::RngExt as _;
use std::cmp::{Ordering, Reverse};
use std::time::Duration;

/// A set of backends, by their place in the route.
#[derive(Clone, Copy, Debug, Default)]
pub struct Set(u32);

impl Set {
    /// Adds one.
    pub fn insert(&mut self, at: usize) {
        self.0 |= 1 << at;
    }

    /// Whether it holds one.
    #[must_use]
    pub fn contains(self, at: usize) -> bool {
        self.0 & (1 << at) != 0
    }
}

/// The backend to ask.
pub struct Choice {
    /// Its place in the route.
    pub at: usize,
    /// Its breaker's permission.
    pub permit: Permit,
    /// Whether it was asked before in this call.
    pub again: bool,
}

/// Why there is none to ask.
#[derive(Debug, PartialEq, Eq)]
pub enum NoChoice {
    /// No backend of the route has the endpoint.
    Unsupported,
    /// Every breaker is open; the first lets a trial through after this long.
    AllOpen(Duration),
    /// Each has failed in this call and may not be asked again.
    Exhausted,
}

/// Chooses. `tried` have failed in this call; `barred` may not be asked again.
pub fn choose(route: &Route, endpoint: Endpoint, tried: Set, barred: Set) -> Result<Choice, NoChoice> {
    let able = || route.backends.iter().enumerate().filter(|(_, b)| b.uris.contains_key(&endpoint));
    if able().next().is_none() {
        return Err(NoChoice::Unsupported);
    }
    for again in [false, true] {
        let candidates = able().filter(|(at, _)| tried.contains(*at) == again && !barred.contains(*at));
        for (at, backend) in in_order(candidates) {
            if let Some(permit) = backend.breaker.admit() {
                return Ok(Choice { at, permit, again });
            }
        }
    }
    if tried.0 != 0 {
        return Err(NoChoice::Exhausted);
    }
    let soonest = able().filter_map(|(_, b)| b.breaker.admits_after()).min();
    Err(NoChoice::AllOpen(soonest.unwrap_or(Duration::from_secs(1))))
}

type Candidate<'a> = (usize, &'a std::sync::Arc<RouteBackend>);

/// Lowest priority first; within one a weighted shuffle. Weight 0 comes last in its priority.
fn in_order<'a>(candidates: impl Iterator<Item = Candidate<'a>>) -> impl Iterator<Item = Candidate<'a>> {
    let mut drawn: Vec<_> = candidates.collect();
    if drawn.len() > 1 {
        let mut random = rand::rng();
        // Efraimidis and Spirakis: sorting by u^(1/w) draws without replacement by weight.
        let ticket = |weight: u32, u: f64| if weight == 0 { -1.0 } else { u.powf(1.0 / f64::from(weight)) };
        drawn.sort_by_cached_key(|(_, backend)| {
            let ticket = ticket(backend.weight, random.random::<f64>());
            (backend.priority, Reverse(Ticket(ticket)))
        });
    }
    drawn.into_iter()
}

/// A ticket, in a total order.
struct Ticket(f64);

impl Ord for Ticket {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Ticket {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ticket {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ticket {}
