//! One account at one provider, as this pod knows it while it runs: its keys, whether it is parked, who may call.
//!
//! It belongs to a `DeepSeekBackend`, or to a backend written out in a route, and outlives snapshots: a reload gives it new
//! settings and keeps what is known of it. Whoever calls asks for its [`standing`](Account::standing) first, then takes a
//! [`Slot`], and tells the slot how the call turned out.
//!
//! | file | what it knows |
//! |---|---|
//! | [`keys`] | which keys were refused (401) |
//! | [`parking`] | whether there is money (402), from calls, from the balance poll, from the operator |
//! | [`lane`] | calls in flight for one model, who waits ([`queue`]), how many may be ([`limit`]), until when none ([`cooling`]) |
//! | [`refusal`] | what the text of a 429 means |
//! | [`balance`], [`watch`], [`poll`] | what the provider says of the balance, when it is asked, the asking |
//! | [`user_id`] | what a consumer is called towards the provider |
//! | [`registry`], [`report`], [`metrics`] | all accounts; what is told of them |

pub mod balance;
pub mod cooling;
pub mod keys;
pub mod lane;
pub mod limit;
pub mod metrics;
pub mod parking;
pub mod poll;
pub mod queue;
pub mod refusal;
pub mod registry;
pub mod report;
pub mod slot;
pub mod user_id;
pub mod watch;

pub use lane::Full;
pub use registry::{AccountId, Accounts};
pub use slot::{AccountFailure, Slot};

use super::client::Client;
use arc_swap::ArcSwap;
use balance::Balance;
use deepseek_config::document;
use http::{HeaderName, HeaderValue, Uri};
use keys::{Key, Keys};
use lane::{Lane, LaneSettings, LaneStanding};
use parking::{Parking, Pass, Told};
use parking_lot::RwLock;
use refusal::Refusal;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use watch::Watch;

/// One account at one provider.
pub struct Account {
    id: AccountId,
    label: Arc<str>,
    settings: ArcSwap<Settings>,
    keys: Keys,
    parking: Parking,
    watch: Watch,
    /// By the model's name as the provider knows it: as many as routes name, for clients cannot ask for others.
    lanes: RwLock<HashMap<Arc<str>, Arc<Lane>>>,
    /// Moves whenever a report on any account would read differently for other reasons than traffic.
    changes: Arc<AtomicU64>,
}

/// What is configured of an account.
pub struct Settings {
    /// Its document.
    pub document: document::Backend,
    /// Gateway pods that share it.
    pub pods: u32,
    /// Where its API is.
    pub base: Uri,
    /// How its key is sent.
    pub key_header: HeaderName,
    /// Its connections.
    pub client: Arc<Client>,
}

/// Whether an account takes a call, as far as is known before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Yes.
    Ready,
    /// After waiting for a place, or for the end of a cool-down that is not longer than one may wait.
    Full,
    /// Not before this long: the provider said so.
    Cooling(Duration),
    /// It is out of balance; it is looked at again after this long.
    Parked(Duration),
}

impl Account {
    fn new(id: AccountId, settings: Settings, keys: Vec<HeaderValue>, changes: Arc<AtomicU64>) -> Arc<Self> {
        let parked = settings.document.parked;
        let account = Self {
            label: id.label(),
            id,
            keys: Keys::default(),
            parking: Parking::default(),
            watch: Watch::default(),
            lanes: RwLock::default(),
            settings: ArcSwap::from_pointee(settings),
            changes,
        };
        account.keys.configure(keys);
        account.parking.document(parked, Instant::now());
        Arc::new(account)
    }

    /// Takes new settings and keys. What is known of it stays, unless it is another account now: a key it did not have
    /// before, or another place, may be one that has money.
    fn configure(&self, settings: Settings, keys: Vec<HeaderValue>) {
        let settings = Arc::new(settings);
        let before = self.settings.swap(Arc::clone(&settings));
        let moved = before.base != settings.base;
        let renewed = self.keys.configure(keys) || moved;
        let mut changed = self.parking.document(settings.document.parked, Instant::now());
        if renewed {
            changed |= self.parking.end();
            self.watch.stop();
        }
        let mut lanes = self.lanes.write();
        lanes.retain(|_, lane| Arc::strong_count(lane) > 1 || !lane.is_idle());
        for (model, lane) in lanes.iter() {
            if renewed {
                changed |= lane.forget();
            }
            lane.configure(settings.lane(model));
        }
        drop(lanes);
        if changed {
            self.changed();
        }
    }

    /// Which account it is.
    pub fn id(&self) -> &AccountId {
        &self.id
    }

    /// What is configured.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Its next key in turn.
    pub fn next_key(&self) -> Option<Arc<Key>> {
        self.keys.next()
    }

    /// Whether it takes a call of `tenant` for `model`. Costs two short locks and waits for nothing.
    pub fn standing(&self, model: &str, tenant: &str) -> Standing {
        let now = Instant::now();
        if let Some(closed) = self.parking.closed_for(now) {
            return Standing::Parked(closed);
        }
        match self.lane(model).standing(tenant, now) {
            LaneStanding::Ready => Standing::Ready,
            LaneStanding::Full => Standing::Full,
            LaneStanding::Cooling(closed) => Standing::Cooling(closed),
        }
    }

    /// Leave to send a call, if it has it at once.
    pub fn try_enter(self: &Arc<Self>, model: &str, tenant: &Arc<str>) -> Option<Slot> {
        let place = self.lane(model).try_enter(tenant)?;
        let pass = self.parking.admit(Instant::now())?;
        Some(Slot::new(Arc::clone(self), Arc::clone(tenant), pass, place))
    }

    /// Leave to send a call, waited for until `until` or as long as the account's queue allows. A caller who goes away
    /// leaves the queue.
    pub async fn enter(
        self: &Arc<Self>,
        model: &str,
        tenant: &Arc<str>,
        until: Instant,
    ) -> Result<Slot, Full> {
        let closed = || self.parking.closed_for(Instant::now());
        if let Some(retry_after) = closed() {
            return Err(Full { retry_after });
        }
        let entered = self.lane(model).enter(tenant, until, || closed().is_some()).await;
        // Those who wait are sent away when the account is parked, and then that is the reason.
        let place = entered.map_err(|full| closed().map_or(full, |retry_after| Full { retry_after }))?;
        match self.parking.admit(Instant::now()) {
            Some(pass) => Ok(Slot::new(Arc::clone(self), Arc::clone(tenant), pass, place)),
            None => Err(Full { retry_after: closed().unwrap_or(Duration::from_secs(1)) }),
        }
    }

    fn lane(&self, model: &str) -> Arc<Lane> {
        if let Some(lane) = self.lanes.read().get(model) {
            return Arc::clone(lane);
        }
        let mut lanes = self.lanes.write();
        let new = || Lane::new(self.settings.load().lane(model));
        Arc::clone(lanes.entry(Arc::from(model)).or_insert_with(new))
    }

    fn answered(&self, pass: Pass) {
        if self.parking.answered(pass) {
            self.unparked("a call was answered");
        }
    }

    fn key_refused(&self, key: &Key) -> bool {
        if key.retire() {
            let refused = self.keys.refused();
            tracing::warn!(account = %self.label, refused, "the provider refused a key of the account (401)");
            self.changed();
        }
        self.keys.any_usable()
    }

    fn out_of_balance(&self) {
        let now = Instant::now();
        if self.parking.out_of_balance(now) {
            self.watch.hasten(now);
            self.parked("a call was refused for want of balance");
        }
    }

    fn rate_limited(&self, refusal: Refusal, learned: bool) {
        if learned {
            tracing::info!(account = %self.label, ?refusal, "the account takes fewer calls at a time (429)");
            self.changed();
        }
    }

    /// The provider told the balance.
    fn balance_told(&self, balance: Balance) {
        let (settings, now) = (self.settings.load(), Instant::now());
        let Some(configured) = &settings.document.balance else { return };
        let available = balance.available;
        let interval = Duration::from_millis(configured.interval_ms);
        let every = watch::every(interval, !available || self.parking.since().is_some());
        let change = self.watch.told(balance, every, now);
        let told = Told { available, risen: change.risen, holds: every * 2 + watch::ANSWER_WITHIN };
        if self.parking.polled(told, now) {
            if available {
                self.unparked("there is balance again");
            } else {
                self.parked("the provider says that there is no balance");
            }
        }
        if change.risen {
            // DeepSeek's own limit of calls in flight goes by the balance.
            self.forget_limits();
        }
        if change.differs {
            self.changed();
        }
    }

    fn parked(&self, reason: &'static str) {
        tracing::warn!(account = %self.label, reason, "account parked: it is not called until it has balance");
        for lane in self.lanes.read().values() {
            lane.turn_away();
        }
        self.changed();
    }

    fn unparked(&self, reason: &'static str) {
        tracing::info!(account = %self.label, reason, "account no longer parked");
        self.forget_limits();
        self.changed();
    }

    fn forget_limits(&self) {
        for lane in self.lanes.read().values() {
            if lane.forget() {
                self.changed();
            }
        }
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Settings {
    /// What is configured for one model.
    fn lane(&self, model: &str) -> LaneSettings {
        let concurrency = &self.document.concurrency;
        LaneSettings {
            limit: concurrency.models.get(model).copied().or(concurrency.other),
            pods: self.pods,
            queue: usize::try_from(concurrency.queue).unwrap_or(usize::MAX),
            timeout: Duration::from_millis(concurrency.queue_timeout_ms),
        }
    }
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
