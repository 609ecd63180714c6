//! What the pods say of an account, put together: the newest word on its balance, the lowest limits that were learned,
//! the most keys that were refused, the worst state.

use deepseek_config::document::ObjectId;
use deepseek_config::report::{AccountReport, BackendReport, BalanceReport};
use deepseek_crds::v1alpha1::BackendState;
use std::collections::{BTreeMap, HashMap};

/// What one pod says of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    state: Option<BackendState>,
    report: Option<AccountReport>,
}

/// An account as all its pods see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Its worst state over all routes; absent when no pod has a route that uses it.
    pub state: Option<BackendState>,
    /// What was told of its balance last, to whichever pod.
    pub balance: Option<BalanceReport>,
    /// Whether the pod that was told so says that no call is taken: the word that other pods go by. A pod that was only
    /// answered 402 does not know whether that will last.
    pub denied: bool,
    /// Whether any pod has parked it by what it saw for itself.
    pub parked: bool,
    /// Calls in flight that were seen to be taken, by model.
    pub learned: BTreeMap<String, u64>,
    /// Keys that the provider refuses. Pods tell how many, not which, and meet them one by one: the most is the truest.
    pub refused_keys: u32,
}

/// Sorts a pod's report by account.
pub fn by_account(backends: &[BackendReport], accounts: Vec<AccountReport>) -> HashMap<ObjectId, Said> {
    let mut said: HashMap<ObjectId, Said> = HashMap::new();
    for backend in backends {
        let Some(account) = &backend.account else { continue };
        let known = said.entry(account.clone()).or_default();
        known.state = known.state.max(Some(backend.state));
    }
    for report in accounts {
        let known = said.entry(report.backend.clone()).or_default();
        known.report = Some(report);
    }
    said
}

impl Account {
    /// Adds what one more pod says.
    pub fn add(&mut self, said: &Said) {
        self.state = self.state.max(said.state);
        let Some(report) = &said.report else { return };
        let parked = report.parked_since.is_some();
        self.parked |= parked;
        self.refused_keys = self.refused_keys.max(report.refused_keys);
        for (model, limit) in &report.learned_concurrency {
            let lowest = self.learned.entry(model.clone()).or_insert(*limit);
            *lowest = (*limit).min(*lowest);
        }
        if let Some(balance) = &report.balance
            && self.balance.as_ref().is_none_or(|known| time(balance) > time(known))
        {
            // A trial call may have been answered since: then the pod has it parked no longer.
            self.denied = parked && !balance.available;
            self.balance = Some(balance.clone());
        }
    }
}

fn time(balance: &BalanceReport) -> Option<jiff::Timestamp> {
    balance.at.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepseek_config::document::Kind;

    fn account() -> ObjectId {
        ObjectId::new(Kind::Backend, "ns", "account")
    }

    fn backend(state: BackendState) -> BackendReport {
        let route = ObjectId::new(Kind::Route, "ns", "chat");
        let name = "official".to_owned();
        BackendReport { route, name, account: Some(account()), state, reason: None, since: None }
    }

    fn balance(total: &str, available: bool, second: u32) -> BalanceReport {
        BalanceReport {
            available,
            total: total.to_owned(),
            currency: "CNY".to_owned(),
            low: false,
            at: format!("2026-01-02T03:04:{second:02}Z"),
        }
    }

    fn report(
        balance: Option<BalanceReport>,
        parked: bool,
        learned: u64,
        refused_keys: u32,
    ) -> AccountReport {
        AccountReport {
            backend: account(),
            parked_since: parked.then(|| "2026-01-02T03:04:05Z".to_owned()),
            balance,
            learned_concurrency: BTreeMap::from([("m".to_owned(), learned)]),
            refused_keys,
        }
    }

    fn together(pods: Vec<(BackendState, AccountReport)>) -> Account {
        let mut all = Account::default();
        for (state, report) in pods {
            let said = by_account(&[backend(state)], vec![report]);
            all.add(said.get(&account()).expect("the account"));
        }
        all
    }

    #[test]
    fn the_newest_balance_the_lowest_limit_the_most_refusals_and_the_worst_state_count() {
        let first = report(Some(balance("9.00", true, 30)), false, 40, 0);
        let second = report(Some(balance("8.00", true, 40)), false, 30, 2);
        let third = report(None, false, 60, 1);
        let pods =
            [(BackendState::Healthy, first), (BackendState::Open, second), (BackendState::HalfOpen, third)];
        for turn in 0..3 {
            let mut pods = pods.to_vec();
            pods.rotate_left(turn);
            let all = together(pods);
            assert_eq!(all.balance.map(|balance| balance.total).as_deref(), Some("8.00"));
            assert_eq!(all.learned, BTreeMap::from([("m".to_owned(), 30)]));
            assert_eq!((all.refused_keys, all.state), (2, Some(BackendState::Open)));
            assert!(!all.parked && !all.denied);
        }
    }

    #[test]
    fn only_the_pod_that_was_told_so_last_denies_the_account_to_others() {
        let refused = (BackendState::Parked, report(None, true, 1, 0));
        let told = |available, parked| {
            (BackendState::Parked, report(Some(balance("0.00", available, 30)), parked, 1, 0))
        };
        let all = together(vec![refused.clone()]);
        assert!(all.parked && !all.denied, "a 402 that nothing explains");
        assert!(together(vec![refused.clone(), told(false, true)]).denied);
        assert!(!together(vec![refused, told(true, true)]).denied);
        let answered = together(vec![told(false, false)]);
        assert!(!answered.denied && !answered.parked, "a trial was answered since");
    }
}
