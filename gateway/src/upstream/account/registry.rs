//! All accounts that loaded routes use. They outlive snapshots; one that no route uses any more is dropped with all that
//! is known of it.

use super::{Account, Settings};
use deepseek_config::document::ObjectId;
use http::HeaderValue;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountId {
    /// That of a `DeepSeekBackend`, shared by every route that refers to it.
    Resource(ObjectId),
    /// That of a backend written out in a route: the route and the backend's name.
    Inline(ObjectId, String),
}

/// All accounts.
#[derive(Default)]
pub struct Accounts {
    all: Mutex<BTreeMap<AccountId, Arc<Account>>>,
    changes: Arc<AtomicU64>,
}

impl AccountId {
    /// `namespace/name` of a `DeepSeekBackend`, or `namespace/route/backend`: what metrics and logs call it.
    #[must_use]
    pub fn label(&self) -> Arc<str> {
        match self {
            Self::Resource(id) => format!("{}/{}", id.namespace, id.name).into(),
            Self::Inline(route, name) => format!("{}/{}/{name}", route.namespace, route.name).into(),
        }
    }
}

impl Accounts {
    /// The account with these settings and keys (whole header values): the one there is, or a new one.
    pub fn configure(&self, id: AccountId, settings: Settings, keys: Vec<HeaderValue>) -> Arc<Account> {
        let mut all = self.all.lock();
        if let Some(account) = all.get(&id) {
            account.configure(settings, keys);
            return Arc::clone(account);
        }
        let account = Account::new(id.clone(), settings, keys, Arc::clone(&self.changes));
        all.insert(id, Arc::clone(&account));
        account
    }

    /// Drops every account but these.
    pub fn keep(&self, used: &BTreeSet<&AccountId>) {
        self.all.lock().retain(|id, _| used.contains(id));
    }

    /// All there are.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Account>> {
        self.all.lock().values().cloned().collect()
    }

    /// Moves whenever a report on any account would read differently for other reasons than traffic.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }
}
