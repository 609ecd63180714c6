//! One request from arrival to end. Dropping it unended means the client went away: that is how cancellation is seen.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{StatusCode, request::Parts};

use crate::{
    connection::Connection,
    endpoint::Endpoint,
    record::{Outcome, Recorded},
    request::Hints,
    scenario::Scenario,
    state::State,
    stats::count,
    wire::errors::{ErrorKind, Refusal},
};

/// A request under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    state: Arc<State>,
    connection: Arc<Connection>,
    id: u64,
    began: Instant,
    slots: Vec<String>,
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
        let id = state.change(|books| {
            books.last_id += 1;
            books.stats.requests += 1;
            books.stats.in_flight += 1;
            count(&mut books.stats.by_endpoint, endpoint.label().to_owned());
            if state.options.record {
                books.records.push(Recorded {
                    id: books.last_id,
                    connection: connection.id,
                    method: head.method.clone(),
                    path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
                    headers: head.headers.clone(),
                    ..Recorded::default()
                });
            }
            books.last_id
        });
        Self {
            state: state.clone(),
            connection: connection.clone(),
            id,
            began: Instant::now(),
            slots: Vec::new(),
            ended: false,
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Enters what the body told.
    pub(crate) fn learn(&self, body: &Bytes, hints: &Hints, key: Option<&str>, scenario: &Scenario) {
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

    /// Takes a place among the requests in flight of an account and model, held until the end; refused above the limit.
    pub(crate) fn take_slot(
        &mut self,
        account: &str,
        model: &str,
        user: &str,
        scenario: &Scenario,
    ) -> Result<(), Refusal> {
        let per_model = format!("{account}/{model}");
        let per_user = format!("{account}/{model}/{user}");
        self.state.change(|books| {
            if let Some(limit) = scenario.concurrency {
                let scope = if scenario.per_user { &per_user } else { &per_model };
                let current = books.slots.get(scope).copied().unwrap_or(0) + 1;
                if current > u64::from(limit) {
                    return Err(Refusal::saying(
                        ErrorKind::Concurrency,
                        format!(
                            "Your current concurrency is {current}, which exceeds your concurrency limit of {limit} based \
                             on your remaining balance. Please top up your balance to restore your concurrency."
                        ),
                    ));
                }
            }
            *books.slots.entry(per_user.clone()).or_default() += 1;
            let current = books.slots.entry(per_model.clone()).or_default();
            *current += 1;
            let peak = books.stats.peak_concurrency.entry(per_model.clone()).or_default();
            *peak = (*peak).max(*current);
            Ok(())
        })?;
        self.slots = vec![per_model, per_user];
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
        let slots = std::mem::take(&mut self.slots);
        let after = self.began.elapsed();
        self.state.change(|books| {
            for slot in slots {
                if let Some(held) = books.slots.get_mut(&slot) {
                    *held = held.saturating_sub(1);
                }
            }
            books.stats.end(outcome);
            books.records.update(self.id, |record| {
                record.outcome = outcome;
                record.ended_after = Some(after);
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
