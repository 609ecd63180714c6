//! A circuit breaker: closed → open on a high share of failures → half-open with one trial → closed again.

use deepseek_config::document;
use deepseek_crds::v1alpha1::BackendState;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Moves with every change of any breaker's state, so that reports know when to look again.
pub static CHANGES: AtomicU64 = AtomicU64::new(0);

/// The health of one backend of one route, in this pod.
pub struct Breaker {
    inner: Mutex<Inner>,
}

struct Inner {
    settings: document::Breaker,
    state: State,
    window_started: Instant,
    succeeded: u32,
    failed: u32,
    reason: Option<&'static str>,
    since: SystemTime,
}

enum State {
    Closed,
    Open {
        until: Instant,
    },
    /// `trial` is whether the one trial request is under way.
    HalfOpen {
        trial: bool,
    },
}

/// What a breaker tells of itself.
#[derive(Clone, Copy, Debug)]
pub struct Health {
    /// Its state.
    pub state: BackendState,
    /// The failure that opened it.
    pub reason: Option<&'static str>,
    /// Since when.
    pub since: SystemTime,
}

/// How one attempt ended, told exactly once. Dropped untold (the call was cancelled) it counts as nothing.
pub struct Permit {
    breaker: Arc<Breaker>,
    trial: bool,
    told: bool,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

impl Breaker {
    /// Closed.
    #[must_use]
    pub fn new() -> Self {
        let settings = document::Breaker {
            error_percent: 50,
            min_requests: 10,
            window_ms: 10_000,
            open_for_ms: 15_000,
            consecutive_timeouts: 3,
            slow_start_ms: 10_000,
        };
        let inner = Inner {
            settings,
            state: State::Closed,
            window_started: Instant::now(),
            succeeded: 0,
            failed: 0,
            reason: None,
            since: SystemTime::now(),
        };
        Self { inner: Mutex::new(inner) }
    }

    /// Takes new settings; state and counts stay.
    pub fn configure(&self, settings: &document::Breaker) {
        self.inner.lock().settings = settings.clone();
    }

    /// Permission for one attempt; `None` while open, or while a trial is under way.
    pub fn admit(self: &Arc<Self>) -> Option<Permit> {
        let mut inner = self.inner.lock();
        let trial = match &mut inner.state {
            State::Closed => false,
            State::HalfOpen { trial: true } => return None,
            State::HalfOpen { trial } => {
                *trial = true;
                true
            }
            State::Open { until } if Instant::now() < *until => return None,
            State::Open { .. } => {
                inner.become_(State::HalfOpen { trial: true });
                true
            }
        };
        Some(Permit { breaker: Arc::clone(self), trial, told: false })
    }

    /// When it will next admit an attempt, if it does not now.
    pub fn admits_after(&self) -> Option<Duration> {
        match self.inner.lock().state {
            State::Open { until } => Some(until.saturating_duration_since(Instant::now())),
            State::HalfOpen { trial: true } => Some(Duration::from_secs(1)),
            State::Closed | State::HalfOpen { trial: false } => None,
        }
    }

    /// An answer that had begun well broke off.
    pub fn broke(&self, reason: &'static str) {
        let mut inner = self.inner.lock();
        if matches!(inner.state, State::Closed) {
            inner.count(Some(reason));
        }
    }

    /// Its state as shown to people.
    pub fn health(&self) -> Health {
        let inner = self.inner.lock();
        let state = match inner.state {
            State::Closed => BackendState::Healthy,
            State::HalfOpen { .. } => BackendState::HalfOpen,
            State::Open { until } if Instant::now() >= until => BackendState::HalfOpen,
            State::Open { .. } => BackendState::Open,
        };
        Health { state, reason: inner.reason, since: inner.since }
    }
}

impl Inner {
    fn become_(&mut self, state: State) {
        let closed = matches!(state, State::Closed);
        self.state = state;
        self.since = SystemTime::now();
        self.succeeded = 0;
        self.failed = 0;
        self.window_started = Instant::now();
        if closed {
            self.reason = None;
        }
        CHANGES.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&mut self, failure: Option<&'static str>) {
        if self.window_started.elapsed() >= Duration::from_millis(self.settings.window_ms) {
            self.window_started = Instant::now();
            self.succeeded = 0;
            self.failed = 0;
        }
        match failure {
            None => self.succeeded += 1,
            Some(reason) => {
                self.failed += 1;
                let total = self.succeeded + self.failed;
                let many =
                    u64::from(self.failed) * 100 >= u64::from(total) * u64::from(self.settings.error_percent);
                if total >= self.settings.min_requests && many {
                    self.open(reason);
                }
            }
        }
    }

    fn open(&mut self, reason: &'static str) {
        let until = Instant::now() + Duration::from_millis(self.settings.open_for_ms);
        self.become_(State::Open { until });
        self.reason = Some(reason);
    }
}

impl Permit {
    /// The attempt was answered.
    pub fn succeeded(mut self) {
        self.told = true;
        let mut inner = self.breaker.inner.lock();
        if self.trial { inner.become_(State::Closed) } else { inner.count(None) }
    }

    /// The attempt failed by the backend's fault.
    pub fn failed(mut self, reason: &'static str) {
        self.told = true;
        let mut inner = self.breaker.inner.lock();
        if self.trial {
            inner.open(reason);
        } else if matches!(inner.state, State::Closed) {
            inner.count(Some(reason));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.trial && !self.told {
            let mut inner = self.breaker.inner.lock();
            if let State::HalfOpen { trial } = &mut inner.state {
                *trial = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(min_requests: u32, open_for_ms: u64) -> Arc<Breaker> {
        let breaker = Arc::new(Breaker::new());
        breaker.configure(&document::Breaker {
            error_percent: 50,
            min_requests,
            window_ms: 60_000,
            open_for_ms,
            consecutive_timeouts: 100,
            slow_start_ms: 0,
        });
        breaker
    }

    #[test]
    fn it_opens_at_half_the_attempts_failed_and_not_below_the_minimum() {
        let breaker = breaker(4, 60_000);
        for _ in 0..2 {
            breaker.admit().expect("closed").succeeded();
        }
        breaker.admit().expect("closed").failed("ServerError");
        assert_eq!(breaker.health().state, BackendState::Healthy);
        breaker.admit().expect("closed").failed("ServerError");
        assert_eq!(breaker.health().state, BackendState::Open);
        assert_eq!(breaker.health().reason, Some("ServerError"));
        assert!(breaker.admit().is_none());
        assert!(breaker.admits_after().expect("open") > Duration::from_secs(50));
    }

    #[test]
    fn half_open_lets_one_trial_through_and_a_cancelled_trial_gives_its_place_back() {
        let breaker = breaker(1, 0);
        breaker.admit().expect("closed").failed("Timeout");
        let trial = breaker.admit().expect("a trial");
        assert!(breaker.admit().is_none(), "one trial at a time");
        drop(trial);
        breaker.admit().expect("the place is free again").succeeded();
        assert_eq!(breaker.health().state, BackendState::Healthy);
    }

    #[test]
    fn a_failed_trial_opens_it_again() {
        let breaker = breaker(1, 0);
        breaker.admit().expect("closed").failed("Timeout");
        breaker.admit().expect("a trial").failed("ConnectFailure");
        assert_eq!(breaker.health().reason, Some("ConnectFailure"));
    }
}
