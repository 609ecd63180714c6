//! Counters of what was received, and the wait for them to say something.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::record::Outcome;

/// What was received so far. In the `bench` scenario only [`Stats::bench`] and the connections are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Requests received, whatever came of them; those of the admin paths, of `bench` and for the
    /// balance are not counted.
    pub requests: u64,
    /// Requests not ended yet.
    pub in_flight: u64,
    /// Requests answered to the end.
    pub completed: u64,
    /// Requests whose client went away first.
    pub cancelled: u64,
    /// Requests ended by the scenario.
    pub faulted: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Connections open.
    pub open_connections: u64,
    /// Requests answered by the `bench` scenario.
    pub bench: u64,
    /// Requests per endpoint.
    pub by_endpoint: BTreeMap<String, u64>,
    /// Requests per scenario label.
    pub by_scenario: BTreeMap<String, u64>,
    /// Requests per key, shown by its last four signs in the admin port, whole here.
    pub by_key: BTreeMap<String, u64>,
    /// Requests per model.
    pub by_model: BTreeMap<String, u64>,
    /// Responses per status.
    pub by_status: BTreeMap<u16, u64>,
    /// The most requests in flight at once, per account and model (`account/model`).
    pub peak_concurrency: BTreeMap<String, u64>,
}

impl Stats {
    /// Requests of an endpoint (`chat`, `fim`, `messages`, `responses`, `models`, `balance`, `embeddings`, `unknown`).
    pub fn endpoint(&self, name: &str) -> u64 {
        self.by_endpoint.get(name).copied().unwrap_or(0)
    }

    /// Requests with a scenario.
    pub fn scenario(&self, label: &str) -> u64 {
        self.by_scenario.get(label).copied().unwrap_or(0)
    }

    /// Responses with a status.
    pub fn status(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or(0)
    }

    pub(crate) fn end(&mut self, outcome: Outcome) {
        self.in_flight -= 1;
        match outcome {
            Outcome::InFlight | Outcome::Completed => self.completed += 1,
            Outcome::Cancelled => self.cancelled += 1,
            Outcome::Faulted => self.faulted += 1,
        }
    }
}

pub(crate) fn count<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K) {
    *counts.entry(key).or_default() += 1;
}
