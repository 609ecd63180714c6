//! Accounts: what all keys of one draw on together. A test changes them while requests run, whatever their scenarios.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Scenario,
    wire::errors::{ErrorKind, Refusal},
};

/// What an account has. Every field left out is as with a healthy one: some money, and no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Account {
    /// Its balance; at 0 or below, requests get 402, and `/user/balance` says so.
    pub balance: Option<String>,
    /// The balance's currency, `CNY` unless set.
    pub currency: Option<String>,
    /// Requests in flight allowed per model, all keys together; above it 429 as DeepSeek words it.
    pub concurrency: Option<u32>,
    /// Requests in flight allowed per model and `user_id`, the empty one included; above it 429 that names the user.
    pub user_concurrency: Option<u32>,
}

impl Account {
    /// The account as a scenario has it: what the scenario says holds first.
    pub(crate) fn under(self, scenario: &Scenario) -> Self {
        let ordered = |per_user| scenario.concurrency.filter(|_| scenario.per_user == per_user);
        Self {
            balance: scenario.balance.clone().or(self.balance),
            currency: scenario.currency.clone().or(self.currency),
            concurrency: ordered(false).or(self.concurrency),
            user_concurrency: ordered(true).or(self.user_concurrency),
        }
    }

    /// Whether its balance is used up.
    pub(crate) fn is_broke(&self) -> bool {
        let amount = self.balance.as_deref().map(|balance| balance.trim().parse::<f64>());
        amount.is_some_and(|amount| amount.is_ok_and(|amount| amount <= 0.0))
    }
}

/// Requests in flight, by account and model, and by user as well.
#[derive(Debug, Default)]
pub(crate) struct Slots(BTreeMap<String, u64>);

/// A request's place among those in flight.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) model: String,
    user: String,
}

impl Slots {
    /// Takes a place; refused above a limit of the account. Also tells how many the account and model then have.
    pub(crate) fn take(
        &mut self,
        name: &str,
        model: &str,
        user: &str,
        account: &Account,
    ) -> Result<(Slot, u64), Refusal> {
        let slot = Slot { model: format!("{name}/{model}"), user: format!("{name}/{model}/{user}") };
        let held = |place: &str| self.0.get(place).copied().unwrap_or(0);
        let (current, of_user) = (held(&slot.model) + 1, held(&slot.user) + 1);
        if let Some(limit) = account.concurrency.filter(|limit| current > u64::from(*limit)) {
            return Err(Refusal::saying(
                ErrorKind::Concurrency,
                format!(
                    "Your current concurrency is {current}, which exceeds your concurrency limit of {limit} based on \
                     your remaining balance. Please top up your balance to restore your concurrency."
                ),
            ));
        }
        if let Some(limit) = account.user_concurrency.filter(|limit| of_user > u64::from(*limit)) {
            return Err(Refusal::saying(
                ErrorKind::UserConcurrency,
                format!(
                    "The current concurrency of user_id '{user}' is {of_user}, which exceeds the concurrency limit of \
                     {limit} of each user_id."
                ),
            ));
        }
        self.0.insert(slot.model.clone(), current);
        self.0.insert(slot.user.clone(), of_user);
        Ok((slot, current))
    }

    /// Gives a place back.
    pub(crate) fn free(&mut self, slot: &Slot) {
        for place in [&slot.model, &slot.user] {
            if let Some(held) = self.0.get_mut(place) {
                *held = held.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_s_limit_holds_before_the_account_s() {
        let account = Account { concurrency: Some(5), balance: Some("1.00".into()), ..Account::default() };
        let under = |text: &str| account.clone().under(&text.parse().unwrap());
        assert_eq!(under("plain"), account);
        assert_eq!(under("concurrency=2").concurrency, Some(2));
        assert_eq!(under("concurrency=2&per_user=true").user_concurrency, Some(2));
        assert!(under("no-balance").is_broke() && !account.is_broke());
    }

    #[test]
    fn a_place_that_is_given_back_is_free_again() {
        let (mut slots, account) = (Slots::default(), Account { concurrency: Some(1), ..Account::default() });
        let (slot, current) = slots.take("default", "m", "u", &account).unwrap();
        assert_eq!(current, 1);
        assert!(slots.take("default", "m", "v", &account).is_err());
        slots.free(&slot);
        assert!(slots.take("default", "m", "v", &account).is_ok());
    }
}
