//! What all connections share: the options, the scenarios in force, the counters and the records.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::{
    Account, Options, Scenario,
    account::Slots,
    bench::Bench,
    record::Records,
    replay::Recordings,
    scenario::{ConnectionFault, InvalidScenario},
    stats::Stats,
};

/// Whose requests a scenario is for. The more particular one wins: header, then model name `mock/…`, then user, key,
/// model, default.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// Requests that nothing more particular is set for.
    Default,
    /// Requests for this model.
    Model(String),
    /// Requests with this API key.
    Key(String),
    /// Requests for this end user (`user_id`).
    User(String),
}

/// The state of a fake. It outlives a kill.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) options: Options,
    pub(crate) recordings: Recordings,
    scenarios: Mutex<Scenarios>,
    accounts: Mutex<BTreeMap<String, Account>>,
    bench: RwLock<Option<Arc<Bench>>>,
    pub(crate) bench_requests: AtomicU64,
    books: Mutex<Books>,
    changed: Notify,
}

/// Counters, records and slots, which change together.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) stats: Stats,
    pub(crate) records: Records,
    pub(crate) slots: Slots,
    pub(crate) last_id: u64,
}

#[derive(Debug, Default)]
struct Scenarios {
    set: BTreeMap<Target, Arc<Scenario>>,
    /// How often each choice was made, for `fail_first` and `fail_every`.
    uses: HashMap<String, u64>,
}

/// What a request offers for the choice of its scenario.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choice<'a> {
    pub(crate) header: Option<&'a str>,
    pub(crate) model: Option<&'a str>,
    pub(crate) key: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
    /// Whether a gateway asks by itself: `fail_first` and `fail_every` count what its callers cause.
    pub(crate) aside: bool,
}

impl State {
    pub(crate) fn new(options: Options, recordings: Recordings) -> Arc<Self> {
        let books = Books {
            stats: Stats::default(),
            records: Records::new(options.record_limit),
            slots: Slots::default(),
            last_id: 0,
        };
        let default = options.scenario.clone();
        let state = Arc::new(Self {
            options,
            recordings,
            scenarios: Mutex::default(),
            accounts: Mutex::default(),
            bench: RwLock::default(),
            bench_requests: AtomicU64::new(0),
            books: Mutex::new(books),
            changed: Notify::new(),
        });
        state.set(Target::Default, default);
        state
    }

    pub(crate) fn set(&self, target: Target, scenario: Scenario) {
        if target == Target::Default {
            *self.bench.write() = scenario.bench.then(|| Arc::new(Bench::new(&scenario, &self.options)));
        }
        let mut scenarios = self.scenarios.lock();
        scenarios.uses.remove(&use_key(&target));
        scenarios.set.insert(target, Arc::new(scenario));
    }

    pub(crate) fn unset(&self, target: &Target) {
        self.scenarios.lock().set.remove(target);
    }

    /// Changes an account.
    pub(crate) fn change_account(&self, name: &str, change: impl FnOnce(&mut Account)) {
        change(self.accounts.lock().entry(name.to_owned()).or_default());
    }

    /// An account as it is now.
    pub(crate) fn account(&self, name: &str) -> Account {
        self.accounts.lock().get(name).cloned().unwrap_or_default()
    }

    /// The accounts that were changed.
    pub(crate) fn accounts(&self) -> BTreeMap<String, Account> {
        self.accounts.lock().clone()
    }

    /// Back to how it started: scenarios, accounts, counters and records.
    pub(crate) fn reset(&self) {
        self.accounts.lock().clear();
        *self.scenarios.lock() = Scenarios::default();
        self.set(Target::Default, self.options.scenario.clone());
        self.bench_requests.store(0, Ordering::Relaxed);
        self.change(|books| {
            let Stats { in_flight, open_connections, .. } = books.stats;
            books.stats = Stats { in_flight, open_connections, ..Stats::default() };
            books.records.clear();
        });
    }

    /// The scenario of a request, as of this use of it.
    pub(crate) fn choose(&self, choice: Choice<'_>) -> Result<Arc<Scenario>, InvalidScenario> {
        let named = choice.model.and_then(|model| model.strip_prefix("mock/"));
        let mut scenarios = self.scenarios.lock();
        let (source, scenario) = match choice.header.or(named) {
            Some(text) => (format!("text:{text}"), Arc::new(text.parse()?)),
            None => scenarios.set_for(choice),
        };
        if scenario.fail_first.is_none() && scenario.fail_every.is_none() {
            return Ok(scenario);
        }
        let uses = scenarios.uses.entry(source).or_default();
        *uses += u64::from(!choice.aside);
        let past_first = scenario.fail_first.is_some_and(|first| *uses > u64::from(first));
        let spared = scenario.fail_every.is_some_and(|every| !uses.is_multiple_of(u64::from(every.max(1))));
        Ok(if past_first || spared { Arc::new(Scenario::plain()) } else { scenario })
    }

    /// The default scenario.
    pub(crate) fn default_scenario(&self) -> Arc<Scenario> {
        self.scenarios.lock().set_for(Choice::default()).1
    }

    /// The scenarios set, by whom they are for.
    pub(crate) fn scenarios(&self) -> BTreeMap<Target, Arc<Scenario>> {
        self.scenarios.lock().set.clone()
    }

    /// What each new connection suffers.
    pub(crate) fn accept_fault(&self) -> Option<ConnectionFault> {
        self.default_scenario().accept
    }

    pub(crate) fn bench(&self) -> Option<Arc<Bench>> {
        self.bench.read().clone()
    }

    /// Changes the books and wakes whoever waits for a change.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Books) -> T) -> T {
        let result = change(&mut self.books.lock());
        self.changed.notify_waiters();
        result
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Books) -> T) -> T {
        read(&self.books.lock())
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.read(|books| books.stats.clone());
        stats.bench = self.bench_requests.load(Ordering::Relaxed);
        stats
    }

    /// Returns once the counters satisfy a condition.
    pub(crate) async fn until(&self, condition: impl Fn(&Stats) -> bool) -> Stats {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that no change in between is missed.
            changed.as_mut().enable();
            let stats = self.stats();
            if condition(&stats) {
                return stats;
            }
            changed.await;
        }
    }
}

impl Scenarios {
    fn set_for(&self, choice: Choice<'_>) -> (String, Arc<Scenario>) {
        let targets = [
            choice.user.map(|user| Target::User(user.to_owned())),
            choice.key.map(|key| Target::Key(key.to_owned())),
            choice.model.map(|model| Target::Model(model.to_owned())),
            Some(Target::Default),
        ];
        let found = targets
            .into_iter()
            .flatten()
            .find_map(|target| Some((use_key(&target), self.set.get(&target)?.clone())));
        found.unwrap_or_else(|| (use_key(&Target::Default), Arc::new(Scenario::plain())))
    }
}

fn use_key(target: &Target) -> String {
    match target {
        Target::Default => "default".into(),
        Target::Model(model) => format!("model:{model}"),
        Target::Key(key) => format!("key:{key}"),
        Target::User(user) => format!("user:{user}"),
    }
}
