//! One request from arrival to end. Dropping it unended means the client went away: that is how cancellation is seen.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{StatusCode, request::Parts};

use crate::{
    account::{Account, Slot},
    connection::Connection,
    endpoint::Endpoint,
    record::{Outcome, Recorded},
    request::Hints,
    scenario::Scenario,
    state::State,
    stats::count,
    wire::errors::Refusal,
};

/// A request under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    state: Arc<State>,
    connection: Arc<Connection>,
    id: u64,
    began: Instant,
    slot: Option<Slot>,
    ended: bool,
}

impl Exchange {
    /// Enters a request in the books.
    pub(crate) fn begin(
        state: &Arc<State>,
        connection: &Arc<Connection>,
        head: &Parts,
        endpoint: Endpoint,
    ) -> Self {
        let began = Instant::now();
        // A gateway asks for balances by itself: what tests count is what its callers cause.
        let probe = endpoint == Endpoint::Balance;
        let id = state.change(|books| {
            if probe {
                count(&mut books.stats.by_endpoint, endpoint.label().to_owned());
                return 0;
            }
            books.last_id += 1;
            books.stats.requests += 1;
            books.stats.in_flight += 1;
            count(&mut books.stats.by_endpoint, endpoint.label().to_owned());
            if state.options.record {
                books.records.push(Recorded::new(books.last_id, connection.id, head, began));
            }
            books.last_id
        });
        // What is not in the books does not leave them either.
        Self { state: state.clone(), connection: connection.clone(), id, began, slot: None, ended: probe }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Enters what the body told.
    pub(crate) fn learn(&self, body: &Bytes, hints: &Hints, key: Option<&str>, scenario: &Scenario) {
        if self.ended {
            return;
        }
        self.state.change(|books| {
            count(&mut books.stats.by_scenario, scenario.label().to_owned());
            if let Some(key) = key {
                count(&mut books.stats.by_key, key.to_owned());
            }
            if let Some(model) = &hints.model {
                count(&mut books.stats.by_model, model.clone());
            }
            books.records.update(self.id, |record| {
                record.body = body.clone();
                record.key = key.map(str::to_owned);
                record.model.clone_from(&hints.model);
                scenario.label().clone_into(&mut record.scenario);
            });
        });
    }

    /// Enters the status answered.
    pub(crate) fn answered(&self, status: StatusCode) {
        self.state.change(|books| {
            count(&mut books.stats.by_status, status.as_u16());
            books.records.update(self.id, |record| record.status = Some(status));
        });
    }

    /// Takes a place among the requests in flight of an account and model, held until the end; refused above a limit.
    pub(crate) fn take_slot(
        &mut self,
        name: &str,
        model: &str,
        user: &str,
        account: &Account,
    ) -> Result<(), Refusal> {
        let slot = self.state.change(|books| {
            let (slot, current) = books.slots.take(name, model, user, account)?;
            let peak = books.stats.peak_concurrency.entry(slot.model.clone()).or_default();
            *peak = (*peak).max(current);
            Ok(slot)
        })?;
        self.slot = Some(slot);
        Ok(())
    }

    /// Counts a frame as handed to the connection.
    pub(crate) fn count_frame(&self) {
        self.state.change(|books| books.records.update(self.id, |record| record.frames += 1));
    }

    /// Closes the request in the books; the first end holds.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let slot = self.slot.take();
        let now = Instant::now();
        self.state.change(|books| {
            if let Some(slot) = slot {
                books.slots.free(&slot);
            }
            books.stats.end(outcome);
            books.records.update(self.id, |record| {
                record.outcome = outcome;
                record.ended = Some(now);
                record.ended_after = Some(now - self.began);
            });
        });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let outcome = if self.connection.is_doomed() { Outcome::Faulted } else { Outcome::Cancelled };
        self.end(outcome);
    }
}
