//! Parking: an account that is out of balance (402) is not asked, so as not to be hammered on, until it has money again.
//!
//! What ends it, in the order of how soon it is known: the balance poll of this pod says that there is money again; the
//! operator says so, by the word of the pod that polls; a single real call goes through. Such a trial is let through where
//! nothing else can tell: the provider has no balance to ask for, the poll fails, or what it says does not explain the 402.
//! Pure but for its lock: times come in.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// The first trial comes after this long, and each further one after twice as long.
const FIRST: Duration = Duration::from_secs(30);
/// The longest time between two trials. Also the only one while the operator says that the account is out of balance: it
/// has it from a poll, but may be away itself when the account gets money.
const LONGEST: Duration = Duration::from_mins(10);

/// Whether an account is parked.
#[derive(Default)]
pub struct Parking {
    /// Whether there is anything in `inner`; the one thing that is read with every call.
    parked: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    parked: Option<Parked>,
    /// What the document said last.
    document: bool,
}

#[derive(Clone, Copy)]
struct Parked {
    since: SystemTime,
    /// Whether this pod saw it for itself: only that is reported, or the operator would hear its own word.
    seen_here: bool,
    trial_at: Instant,
    interval: Duration,
    /// The poll said that there is no money, and will have said something else by then.
    denied_until: Option<Instant>,
}

/// Leave to send a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The account is not parked.
    Open,
    /// It is, and this call finds out whether it still has to be.
    Trial,
}

/// What a balance poll tells about parking.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Whether the provider takes calls.
    pub available: bool,
    /// Whether the balance is higher than when it was told last.
    pub risen: bool,
    /// How long it holds: until the next poll should have come.
    pub holds: Duration,
}

impl Parking {
    /// How long no call is sent; `None`: one may be.
    pub fn closed_for(&self, now: Instant) -> Option<Duration> {
        if !self.parked.load(Ordering::SeqCst) {
            return None;
        }
        self.inner.lock().parked?.closed_for(now)
    }

    /// Leave to send one call; a trial is given once an interval.
    pub fn admit(&self, now: Instant) -> Option<Pass> {
        if !self.parked.load(Ordering::SeqCst) {
            return Some(Pass::Open);
        }
        let mut inner = self.inner.lock();
        let Some(parked) = &mut inner.parked else { return Some(Pass::Open) };
        if parked.closed_for(now).is_some() {
            return None;
        }
        parked.interval = (parked.interval * 2).min(LONGEST);
        parked.trial_at = now + parked.interval;
        Some(Pass::Trial)
    }

    /// The provider answered 402. Returns whether that is new.
    pub fn out_of_balance(&self, now: Instant) -> bool {
        let mut inner = self.inner.lock();
        if let Some(parked) = &mut inner.parked {
            // Another call of the same moment, or a trial, whose interval runs already.
            return !std::mem::replace(&mut parked.seen_here, true);
        }
        self.begin(&mut inner, Parked::new(now, true, FIRST))
    }

    /// A call was answered. Returns whether the account is parked no longer: only a trial's answer says so, for others
    /// may have begun before.
    pub fn answered(&self, pass: Pass) -> bool {
        pass == Pass::Trial && self.end()
    }

    /// What the document says: the operator's word. Returns whether it changed anything.
    pub fn document(&self, parked: bool, now: Instant) -> bool {
        let mut inner = self.inner.lock();
        if std::mem::replace(&mut inner.document, parked) == parked {
            return false;
        }
        if !parked {
            return self.end_in(&mut inner);
        }
        if let Some(held) = &mut inner.parked {
            held.interval = LONGEST;
            held.trial_at = now + LONGEST;
            return false;
        }
        self.begin(&mut inner, Parked::new(now, false, LONGEST))
    }

    /// What this pod's balance poll was told. Returns whether it changed anything.
    pub fn polled(&self, told: Told, now: Instant) -> bool {
        let mut inner = self.inner.lock();
        let Some(parked) = &mut inner.parked else {
            if told.available {
                return false;
            }
            let denied_until = Some(now + told.holds);
            return self.begin(&mut inner, Parked { denied_until, ..Parked::new(now, true, FIRST) });
        };
        if told.available {
            // It takes a change of its mind: a balance that was there all the time does not explain the 402.
            let changed = parked.denied_until.take().is_some() || told.risen;
            return changed && self.end_in(&mut inner);
        }
        parked.denied_until = Some(now + told.holds);
        !std::mem::replace(&mut parked.seen_here, true)
    }

    /// Ends it: the account has other keys, or is another one. Returns whether there was anything to end.
    pub fn end(&self) -> bool {
        self.end_in(&mut self.inner.lock())
    }

    fn begin(&self, inner: &mut Inner, parked: Parked) -> bool {
        inner.parked = Some(parked);
        self.parked.store(true, Ordering::SeqCst);
        true
    }

    fn end_in(&self, inner: &mut Inner) -> bool {
        self.parked.store(false, Ordering::SeqCst);
        inner.parked.take().is_some()
    }

    /// Since when it is parked, by whomever's word.
    pub fn since(&self) -> Option<SystemTime> {
        self.inner.lock().parked.map(|parked| parked.since)
    }

    /// Since when it is parked by what this pod saw for itself.
    pub fn seen_since(&self) -> Option<SystemTime> {
        self.inner.lock().parked.filter(|parked| parked.seen_here).map(|parked| parked.since)
    }
}

impl Parked {
    fn new(now: Instant, seen_here: bool, interval: Duration) -> Self {
        Self { since: SystemTime::now(), seen_here, trial_at: now + interval, interval, denied_until: None }
    }

    fn closed_for(&self, now: Instant) -> Option<Duration> {
        let until = self.denied_until.map_or(self.trial_at, |denied| denied.max(self.trial_at));
        (until > now).then(|| until - now)
    }
}

#[cfg(test)]
#[path = "parking_tests.rs"]
mod tests;
