//! What is told of an account: in the pod's report, and to metrics.

use super::lane::Figures;
use super::watch::Reading;
use super::{Account, AccountId};
use deepseek_config::report::{AccountReport, BalanceReport};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::SystemTime;

impl Account {
    /// What metrics and logs call it.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Since when no call is sent for want of balance, by whomever's word.
    pub fn parked_since(&self) -> Option<SystemTime> {
        self.parking.since()
    }

    /// What this pod was told of its balance.
    pub fn last_balance(&self) -> Option<Reading> {
        self.watch.last()
    }

    /// Each model it is called for, as it looks now.
    pub fn models(&self) -> Vec<(Arc<str>, Figures)> {
        self.lanes.read().iter().map(|(model, lane)| (Arc::clone(model), lane.figures())).collect()
    }

    /// Its part of the pod's report: of a `DeepSeekBackend` of which there is something to tell.
    pub fn report(&self) -> Option<AccountReport> {
        let AccountId::Resource(backend) = &self.id else { return None };
        let learned = self.models().into_iter();
        let report = AccountReport {
            backend: backend.clone(),
            // What the operator said is no news to it.
            parked_since: self.parking.seen_since().and_then(rfc3339),
            balance: self.balance_report(),
            learned_concurrency: learned
                .filter_map(|(model, figures)| Some((model.to_string(), figures.learned?)))
                .collect(),
            refused_keys: u32::try_from(self.keys.refused()).unwrap_or(u32::MAX),
        };
        let nothing = report.parked_since.is_none()
            && report.balance.is_none()
            && report.learned_concurrency.is_empty()
            && report.refused_keys == 0;
        (!nothing).then_some(report)
    }

    fn balance_report(&self) -> Option<BalanceReport> {
        let Reading { balance, at } = self.watch.last()?;
        let low = self.settings.load().document.balance.as_ref().and_then(|balance| balance.low_micros);
        let is_low = balance.is_low(low);
        let (total, currency) =
            balance.amount.map(|amount| (amount.text, amount.currency)).unwrap_or_default();
        Some(BalanceReport { available: balance.available, total, currency, low: is_low, at: rfc3339(at)? })
    }
}

fn rfc3339(time: SystemTime) -> Option<String> {
    // To the second: finer is of no use to a person, and moves nothing.
    let time = Timestamp::try_from(time).ok()?;
    time.round(jiff::Unit::Second).ok().map(|time| time.to_string())
}
