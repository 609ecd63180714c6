//! When an account's balance is asked for, and what was told last. Pure but for its lock and the jitter: times come in.

use super::balance::Balance;
use parking_lot::Mutex;
use rand::RngExt as _;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// While the account is parked its balance is asked for this many times as often.
const PARKED_FASTER: u32 = 4;
/// Each failure doubles the time to the next question, so many times at most.
const MOST_DOUBLINGS: u32 = 3;
/// A question that has no answer after this long has failed.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How soon it is asked for after a 402.
const AFTER_402: Duration = Duration::from_secs(1);

/// The watch over one account's balance.
#[derive(Default)]
pub struct Watch {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// When it is asked for next; absent: never asked.
    next: Option<Instant>,
    failures: u32,
    last: Option<Reading>,
}

/// What was told when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What was told.
    pub balance: Balance,
    /// When.
    pub at: SystemTime,
}

/// What a reading changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// It reads differently from the one before.
    pub differs: bool,
    /// There is more money than before.
    pub risen: bool,
}

/// The time between two questions, before jitter.
#[must_use]
pub fn every(interval: Duration, parked: bool) -> Duration {
    if parked { interval / PARKED_FASTER } else { interval }
}

impl Watch {
    /// Whether it is time to ask. If so, the next time is set behind the answer: one question is under way at most.
    pub fn is_due(&self, every: Duration, now: Instant) -> bool {
        let mut inner = self.inner.lock();
        if inner.next.is_some_and(|next| next > now) {
            return false;
        }
        inner.next = Some(now + jittered(every).max(ANSWER_WITHIN));
        true
    }

    /// The balance was told.
    pub fn told(&self, balance: Balance, every: Duration, now: Instant) -> Change {
        let mut inner = self.inner.lock();
        let before = inner.last.as_ref().map(|last| &last.balance);
        let change = Change {
            differs: before != Some(&balance),
            risen: before.is_some_and(|before| balance.is_more_than(before)),
        };
        inner.failures = 0;
        inner.next = Some(now + jittered(every));
        inner.last = Some(Reading { balance, at: SystemTime::now() });
        change
    }

    /// It could not be asked for. Returns how often in a row.
    pub fn failed(&self, every: Duration, now: Instant) -> u32 {
        let mut inner = self.inner.lock();
        inner.failures = inner.failures.saturating_add(1);
        let later = every * (1 << inner.failures.min(MOST_DOUBLINGS));
        inner.next = Some(now + jittered(later));
        inner.failures
    }

    /// The provider answered 402: it is asked for soon.
    pub fn hasten(&self, now: Instant) {
        let mut inner = self.inner.lock();
        inner.next = inner.next.map(|next| next.min(now + AFTER_402));
    }

    /// Another pod asks from now on: what was told here is out of date soon.
    pub fn stop(&self) -> bool {
        let mut inner = self.inner.lock();
        let held = inner.last.is_some();
        *inner = Inner::default();
        held
    }

    /// What was told last.
    pub fn last(&self) -> Option<Reading> {
        self.inner.lock().last.clone()
    }
}

/// Nine to eleven tenths of it, so that accounts and gateways do not all ask at the same moment.
fn jittered(every: Duration) -> Duration {
    every * rand::rng().random_range(90..=110) / 100
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::account::balance::Amount;

    const MINUTE: Duration = Duration::from_mins(1);

    fn balance(micros: i64) -> Balance {
        let amount = Amount { text: micros.to_string(), micros, currency: "CNY".to_owned() };
        Balance { available: micros > 0, amount: Some(amount) }
    }

    #[test]
    fn it_is_asked_for_at_once_and_then_every_interval() {
        let (watch, start) = (Watch::default(), Instant::now());
        assert!(watch.is_due(MINUTE, start));
        assert!(!watch.is_due(MINUTE, start), "that question is under way");
        watch.told(balance(7), MINUTE, start);
        assert!(!watch.is_due(MINUTE, start + MINUTE * 89 / 100));
        assert!(watch.is_due(MINUTE, start + MINUTE * 111 / 100));
        assert_eq!(every(MINUTE, true), MINUTE / 4);
    }

    #[test]
    fn failures_back_off_and_a_402_hastens() {
        let (watch, start) = (Watch::default(), Instant::now());
        for failures in 1..=10 {
            assert_eq!(watch.failed(MINUTE, start), failures);
        }
        assert!(!watch.is_due(MINUTE, start + MINUTE * 7), "eight times as long");
        watch.hasten(start);
        assert!(watch.is_due(MINUTE, start + AFTER_402));
    }

    #[test]
    fn a_reading_tells_what_it_changed() {
        let (watch, now) = (Watch::default(), Instant::now());
        assert_eq!(watch.told(balance(7), MINUTE, now), Change { differs: true, risen: false });
        assert_eq!(watch.told(balance(7), MINUTE, now), Change { differs: false, risen: false });
        assert_eq!(watch.told(balance(6), MINUTE, now), Change { differs: true, risen: false });
        assert_eq!(watch.told(balance(8), MINUTE, now), Change { differs: true, risen: true });
        assert!(watch.stop());
        assert_eq!(watch.last(), None);
        assert!(watch.is_due(MINUTE, now));
    }
}
