//! Which backend is asked next.
//!
//! Lowest priority first; within one, backends of another zone than this pod's last, by the route's strategy; those not
//! asked yet in this call before those that failed in it; those whose account has a place before those where the call
//! would have to wait; never one whose breaker is open. `docs/adr/0009-balancing.md` gives the reasons.

pub mod affinity;
mod budget;
mod load;
mod set;
mod strategy;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use budget::Budget;
pub use load::{Calling, Load};
pub use set::Set;

use super::breaker::Permit;
use crate::pipeline::endpoint::Endpoint;
use crate::snapshot::{Route, RouteBackend};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is to be chosen.
pub struct Ask<'a> {
    /// The route.
    pub route: &'a Route,
    /// What the backend must have.
    pub endpoint: Endpoint,
    /// What keeps calls that belong together at one backend; see [`affinity::key`].
    pub key: Option<u64>,
    /// Those that have failed in this call.
    pub tried: Set,
    /// Those that may not be asked (again).
    pub barred: Set,
    /// The backend that is being asked already, where the choice is for a second attempt beside it (a hedge).
    pub beside: Option<usize>,
    /// How the account behind a backend stands.
    pub standing: &'a (dyn Fn(usize) -> Standing + Sync),
}

/// How the account behind a backend stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has a place for a call.
    Ready,
    /// A call would have to wait for a place.
    Full,
    /// It takes no call.
    Out,
}

/// The backend to ask.
pub struct Choice {
    /// Its place in the route.
    pub at: usize,
    /// Whether it was asked before in this call.
    pub again: bool,
    /// Its breaker's permission.
    pub permit: Permit,
    /// Counts the call as in flight there.
    pub calling: Calling,
}

/// Why there is none to ask.
#[derive(Debug, PartialEq, Eq)]
pub enum NoChoice {
    /// No backend of the route has the endpoint.
    Unsupported,
    /// Every one that takes calls has an open breaker; the first lets a trial through after this long.
    AllOpen(Duration),
    /// Every account is out.
    AllOut,
    /// Each has failed in this call and may not be asked again.
    Exhausted,
    /// One could be asked again, or beside another, but too many calls were of late.
    OverBudget,
}

/// Chooses.
pub fn choose(ask: &Ask<'_>) -> Result<Choice, NoChoice> {
    let now = Instant::now();
    let able = ask.able();
    if able.is_empty() {
        return Err(NoChoice::Unsupported);
    }
    let allowed = able.without(ask.barred);
    let fresh = allowed.without(ask.tried);
    if let Some(beside) = ask.beside {
        return ask.hedge(fresh.without(Set::of(beside)), beside, now);
    }
    if let Some((at, permit)) = ask.first_of(fresh, now) {
        return Ok(ask.choice(at, permit, now));
    }
    ask.again(allowed.and(ask.tried), now).map_err(|none| match none {
        NoChoice::Exhausted if ask.tried.is_empty() => ask.nobody(able, now),
        none => none,
    })
}

impl Ask<'_> {
    fn backend(&self, at: usize) -> &Arc<RouteBackend> {
        &self.route.backends[at]
    }

    /// Those that have the endpoint.
    fn able(&self) -> Set {
        let backends = self.route.backends.iter().enumerate();
        backends.filter(|(_, backend)| backend.uris.contains_key(&self.endpoint)).map(|(at, _)| at).collect()
    }

    fn choice(&self, at: usize, permit: Permit, now: Instant) -> Choice {
        let backend = self.backend(at);
        let again = self.tried.contains(at);
        if !again && self.beside.is_none() {
            backend.budget.first(now);
        }
        Choice { at, again, permit, calling: Load::enter(&backend.load, now) }
    }

    /// A second attempt beside the one at `beside`, within the budget of that one: it is what doubles its calls.
    fn hedge(&self, others: Set, beside: usize, now: Instant) -> Result<Choice, NoChoice> {
        let (at, permit) = self.first_of(others, now).ok_or(NoChoice::Exhausted)?;
        if self.backend(beside).budget.spend(self.route.policy.failover.budget_percent, now) {
            Ok(self.choice(at, permit, now))
        } else {
            Err(NoChoice::OverBudget)
        }
    }

    /// One of those that failed in this call, within its budget.
    fn again(&self, mut tried: Set, now: Instant) -> Result<Choice, NoChoice> {
        let mut none = NoChoice::Exhausted;
        while let Some((at, permit)) = self.first_of(tried, now) {
            if self.backend(at).budget.spend(self.route.policy.failover.budget_percent, now) {
                return Ok(self.choice(at, permit, now));
            }
            none = NoChoice::OverBudget;
            tried.remove(at);
        }
        Err(none)
    }

    /// The first of `among` that lets the call through: those that are ready before those that have just recovered and
    /// have had their share for now, and those before the full ones.
    fn first_of(&self, among: Set, now: Instant) -> Option<(usize, Permit)> {
        if let Some(only) = among.only() {
            return if (self.standing)(only) == Standing::Out { None } else { self.admit(only, now) };
        }
        let [mut ready, mut resting, mut full] = [Set::default(); 3];
        for at in among.iter() {
            let Some(share) = self.backend(at).breaker.share(now) else { continue };
            match (self.standing)(at) {
                Standing::Ready if strategy::has_its_turn(self, at, share) => ready.insert(at),
                Standing::Ready => resting.insert(at),
                Standing::Full => full.insert(at),
                Standing::Out => {}
            }
        }
        [ready, resting, full].into_iter().find_map(|tier| self.first_admitted(tier, now))
    }

    fn first_admitted(&self, mut among: Set, now: Instant) -> Option<(usize, Permit)> {
        while !among.is_empty() {
            let at = strategy::pick(self, among, now);
            // Another call may have taken the one trial since.
            if let Some(admitted) = self.admit(at, now) {
                return Some(admitted);
            }
            among.remove(at);
        }
        None
    }

    fn admit(&self, at: usize, now: Instant) -> Option<(usize, Permit)> {
        Some((at, self.backend(at).breaker.admit(now)?))
    }

    /// Why none of those that are able can be asked at all.
    fn nobody(&self, able: Set, now: Instant) -> NoChoice {
        let takes_calls = able.iter().filter(|at| (self.standing)(*at) != Standing::Out);
        let waits = takes_calls.map(|at| self.backend(at).breaker.admits_after(now).unwrap_or_default());
        waits.min().map_or(NoChoice::AllOut, NoChoice::AllOpen)
    }
}
