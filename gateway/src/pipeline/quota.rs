//! Quotas of one route in this pod: an amount is reserved before the call and settled to the real use after it.

use super::window::Clock;
use deepseek_config::document::{self, Limit};
use deepseek_crds::v1alpha1::{QuotaMode, QuotaPer};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Requests per window.
    Requests,
    /// Tokens per window.
    Tokens,
    /// Requests in flight.
    Concurrent,
}

/// One quota: its limit in this pod, and how much of it is used by whom.
pub struct QuotaState {
    spec: document::Quota,
    unit: Unit,
    limit: u64,
    clock: Option<Clock>,
    counters: Arc<Mutex<HashMap<Arc<str>, Counter>>>,
}

#[derive(Clone, Copy, Default)]
struct Counter {
    used: u64,
    ends_at_ms: i64,
}

/// What remains of a quota, for `x-ratelimit-*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What is counted.
    pub unit: Unit,
    /// The limit in this pod.
    pub limit: u64,
    /// What is left of it.
    pub remaining: u64,
    /// Milliseconds until the window ends; 0 for requests in flight.
    pub reset_ms: u64,
}

/// An amount taken from a quota; given back or settled when the call ends.
pub struct Reservation {
    quota: Arc<QuotaState>,
    counter: Arc<str>,
    amount: u64,
    ends_at_ms: i64,
    over: bool,
}

/// Counters of windows that ended are dropped when more than this many are held.
const SWEEP_ABOVE: usize = 1024;

impl QuotaState {
    /// A quota of which this pod holds one part in `pods`; it goes on counting where `previous` was.
    #[must_use]
    pub fn new(spec: document::Quota, pods: u32, previous: Option<&Self>) -> Self {
        let (unit, amount, clock) = match &spec.limit {
            Limit::Requests(rate) => (Unit::Requests, rate.amount, Some(Clock::new(&rate.window))),
            Limit::Tokens(rate) => (Unit::Tokens, rate.amount, Some(Clock::new(&rate.window))),
            Limit::Concurrent(amount) => (Unit::Concurrent, *amount, None),
        };
        let limit = (amount / u64::from(pods.max(1))).max(1);
        let counters = previous.map(|p| Arc::clone(&p.counters)).unwrap_or_default();
        Self { spec, unit, limit, clock, counters }
    }

    /// Whether a quota written as `spec` counts what this one counts, whatever the limits.
    #[must_use]
    pub fn counts_the_same_as(&self, spec: &document::Quota) -> bool {
        let window = match &spec.limit {
            Limit::Requests(rate) | Limit::Tokens(rate) => Some(&rate.window),
            Limit::Concurrent(_) => None,
        };
        self.spec.per == spec.per
            && std::mem::discriminant(&self.spec.limit) == std::mem::discriminant(&spec.limit)
            && self.clock.as_ref().map(Clock::window) == window
    }

    /// What it counts.
    #[must_use]
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Whether it refuses, or only counts.
    #[must_use]
    pub fn enforced(&self) -> bool {
        self.spec.mode == QuotaMode::Enforce
    }

    /// Takes `amount` for `consumer`: a reservation and what then remains, or what stands in the way. An amount above
    /// the whole limit is taken as the whole limit, so that a large call is admitted when nothing else runs.
    pub fn reserve(
        self: &Arc<Self>,
        consumer: &Arc<str>,
        amount: u64,
        now_ms: i64,
    ) -> Result<(Reservation, Standing), Standing> {
        let name = match self.spec.per {
            QuotaPer::Consumer => Arc::clone(consumer),
            QuotaPer::Route => Arc::from(""),
        };
        let mut counters = self.counters.lock();
        if counters.len() > SWEEP_ABOVE {
            counters.retain(|_, c| c.used > 0 && (c.ends_at_ms == 0 || c.ends_at_ms > now_ms));
        }
        let counter = counters.entry(Arc::clone(&name)).or_default();
        if let Some(clock) = self.clock.as_ref().filter(|_| counter.ends_at_ms <= now_ms) {
            *counter = Counter { used: 0, ends_at_ms: clock.end_after(now_ms) };
        }
        let amount = amount.min(self.limit);
        let fits = counter.used.saturating_add(amount) <= self.limit;
        if fits || !self.enforced() {
            counter.used = counter.used.saturating_add(amount);
            let reservation = Reservation {
                quota: Arc::clone(self),
                counter: name,
                amount,
                ends_at_ms: counter.ends_at_ms,
                over: !fits,
            };
            let standing = self.standing(*counter, now_ms);
            return Ok((reservation, standing));
        }
        Err(self.standing(*counter, now_ms))
    }

    /// The fullest counter, in percent of the limit.
    #[must_use]
    pub fn used_percent(&self, now_ms: i64) -> u32 {
        let counters = self.counters.lock();
        let live = counters.values().filter(|c| c.ends_at_ms == 0 || c.ends_at_ms > now_ms);
        let most = live.map(|c| c.used).max().unwrap_or(0);
        u32::try_from(most.saturating_mul(100) / self.limit).unwrap_or(u32::MAX)
    }

    fn standing(&self, counter: Counter, now_ms: i64) -> Standing {
        Standing {
            unit: self.unit,
            limit: self.limit,
            remaining: self.limit.saturating_sub(counter.used),
            reset_ms: u64::try_from(counter.ends_at_ms - now_ms).unwrap_or(0),
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("amount", &self.amount).finish_non_exhaustive()
    }
}

impl Reservation {
    /// What its quota counts.
    #[must_use]
    pub fn unit(&self) -> Unit {
        self.quota.unit
    }

    /// Whether a quota that only counts would have been exceeded.
    #[must_use]
    pub fn over(&self) -> bool {
        self.over
    }

    /// Ends the reservation: `used` is what it came to. Of a window that has ended nothing is given back.
    pub fn settle(self, used: u64) {
        let mut counters = self.quota.counters.lock();
        if let Some(counter) = counters.get_mut(&self.counter).filter(|c| c.ends_at_ms == self.ends_at_ms) {
            counter.used = counter.used.saturating_sub(self.amount).saturating_add(used);
        }
    }

    /// Ends the reservation as if it had not been.
    pub fn give_back(self) {
        self.settle(0);
    }

    /// Ends the reservation: all of it was used.
    pub fn keep(self) {}
}

impl Unit {
    /// As it stands in headers, metrics and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Concurrent => "concurrent",
        }
    }
}

/// Milliseconds since the epoch.
#[must_use]
pub fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepseek_config::document::{Rate, Window, WindowUnit};

    fn quota(limit: Limit, mode: QuotaMode, pods: u32) -> Arc<QuotaState> {
        Arc::new(QuotaState::new(document::Quota { per: QuotaPer::Consumer, limit, mode }, pods, None))
    }

    fn per_minute(amount: u64) -> Rate {
        Rate { amount, window: Window { count: 1, unit: WindowUnit::Minute, time_zone: "UTC".to_owned() } }
    }

    #[test]
    fn requests_are_refused_over_the_limit_until_the_window_ends() {
        let quota = quota(Limit::Requests(per_minute(2)), QuotaMode::Enforce, 1);
        let (a, b) = (Arc::from("a"), Arc::from("b"));
        for remaining in [1, 0] {
            let (reservation, standing) = quota.reserve(&a, 1, 0).expect("below the limit");
            assert_eq!(standing.remaining, remaining);
            reservation.keep();
        }
        let refused = quota.reserve(&a, 1, 59_000).expect_err("over the limit");
        assert_eq!((refused.remaining, refused.reset_ms), (0, 1000));
        assert!(quota.reserve(&b, 1, 59_000).is_ok(), "each consumer has its own");
        assert!(quota.reserve(&a, 1, 60_000).is_ok(), "a new window");
    }

    #[test]
    fn tokens_are_settled_to_what_was_used() {
        let quota = quota(Limit::Tokens(per_minute(1000)), QuotaMode::Enforce, 1);
        let a = Arc::from("a");
        let (reservation, _) = quota.reserve(&a, 900, 0).expect("fits");
        assert!(quota.reserve(&a, 200, 0).is_err());
        reservation.settle(100);
        let (_, standing) = quota.reserve(&a, 200, 0).expect("fits after settling");
        assert_eq!(standing.remaining, 700);
    }

    #[test]
    fn a_call_larger_than_the_whole_limit_is_admitted_when_nothing_is_used() {
        let quota = quota(Limit::Tokens(per_minute(1000)), QuotaMode::Enforce, 1);
        assert!(quota.reserve(&Arc::from("a"), 384_000, 0).is_ok());
    }

    #[test]
    fn each_pod_holds_its_part_and_at_least_one() {
        let a: Arc<str> = Arc::from("a");
        let quota_of_three = quota(Limit::Concurrent(10), QuotaMode::Enforce, 3);
        let held: Vec<_> = (0..3).map(|_| quota_of_three.reserve(&a, 1, 0).expect("3 of 10")).collect();
        assert!(quota_of_three.reserve(&a, 1, 0).is_err());
        for (reservation, _) in held {
            reservation.give_back();
        }
        assert!(quota_of_three.reserve(&a, 1, 0).is_ok());
        assert!(quota(Limit::Concurrent(1), QuotaMode::Enforce, 3).reserve(&a, 1, 0).is_ok());
    }

    #[test]
    fn a_shadow_quota_counts_and_never_refuses() {
        let quota = quota(Limit::Requests(per_minute(1)), QuotaMode::Shadow, 1);
        let a = Arc::from("a");
        for _ in 0..3 {
            quota.reserve(&a, 1, 0).expect("shadow").0.keep();
        }
        assert_eq!(quota.used_percent(0), 300);
    }

    #[test]
    fn a_changed_limit_keeps_the_count() {
        let old = quota(Limit::Requests(per_minute(1)), QuotaMode::Enforce, 1);
        old.reserve(&Arc::from("a"), 1, 0).expect("fits").0.keep();
        let spec = document::Quota {
            per: QuotaPer::Consumer,
            limit: Limit::Requests(per_minute(2)),
            mode: QuotaMode::Enforce,
        };
        assert!(old.counts_the_same_as(&spec));
        let new = Arc::new(QuotaState::new(spec, 1, Some(&old)));
        assert!(new.reserve(&Arc::from("a"), 1, 0).is_ok());
        assert!(new.reserve(&Arc::from("a"), 1, 0).is_err());
    }
}
