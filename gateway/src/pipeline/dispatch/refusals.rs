//! What a client is told when no backend answered.

use super::Run;
use crate::pipeline::check::Call;
use crate::pipeline::error::{Code, GatewayError};
use crate::snapshot::RouteBackend;
use crate::upstream::account::Standing;
use crate::upstream::balance::NoChoice;
use crate::upstream::failure::Failure;
use crate::upstream::judge::Cause;
use std::sync::Arc;
use std::time::Duration;

/// The deadline has passed.
pub(super) fn time_up() -> GatewayError {
    GatewayError::new(Code::UpstreamTimeout, "The call's time was up before a backend answered.")
}

impl Run<'_> {
    /// Remembers a failure for the client. That a backend was not even asked says less than what another one said.
    pub(super) fn note(&mut self, failure: Failure, backend: &Arc<str>) {
        let unasked = matches!(failure.cause, Cause::Unfit | Cause::AccountFull);
        if self.last.is_none() || !unasked {
            self.last = Some((failure, Arc::clone(backend)));
        }
    }

    /// What it means that there is no backend to choose.
    pub(super) fn no_choice(&mut self, none: &NoChoice) -> GatewayError {
        match none {
            NoChoice::Unsupported => {
                let Call { model, endpoint, .. } = &self.errand.call;
                let message =
                    format!("No backend of model {model:?} has the endpoint {}.", endpoint.as_str());
                GatewayError::new(Code::UnsupportedEndpoint, message)
            }
            NoChoice::AllOpen(wait) => {
                let message =
                    "Every backend of this model has failed too often lately and is left alone for a while.";
                GatewayError::new(Code::NoHealthyBackend, message).retry_after(Some(*wait))
            }
            NoChoice::AllOut => self.all_out(),
            NoChoice::Exhausted | NoChoice::OverBudget => self.last_error(),
        }
    }

    /// No account takes calls: for its limits, or for want of balance.
    fn all_out(&self) -> GatewayError {
        let standing =
            |backend: &Arc<RouteBackend>| backend.account.standing(self.model(backend), self.tenant());
        let (mut cooling, mut parked) = (None, None);
        for standing in self.route.backends.iter().map(standing) {
            match standing {
                Standing::Cooling(wait) => cooling = cooling.into_iter().chain([wait]).min(),
                Standing::Parked(wait) => parked = parked.into_iter().chain([wait]).min(),
                Standing::Ready | Standing::Full => {}
            }
        }
        if let Some(wait) = cooling {
            let message = "Every account behind this model is at the limit of its provider.";
            return GatewayError::new(Code::UpstreamRateLimited, message).retry_after(Some(wait));
        }
        let message = "No account behind this model takes calls at present.";
        let wait = parked.unwrap_or(Duration::from_secs(1));
        GatewayError::new(Code::NoHealthyBackend, message).retry_after(Some(wait))
    }

    /// What was the matter with the backend that was asked last.
    pub(super) fn last_error(&mut self) -> GatewayError {
        match self.last.take() {
            Some((failure, backend)) => failure.into_error(&backend),
            None => time_up(),
        }
    }
}
