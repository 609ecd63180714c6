//! The rules of a breaker, by a clock that is handed in.
//!
//! An outcome counts for the state in which its attempt began: what was sent before the breaker opened, and fails after
//! it has closed again, says nothing of the backend as it is now.

use super::{CHANGES, Health};
use crate::upstream::sliding::Sliding;
use deepseek_config::{defaults, document};
use deepseek_crds::v1alpha1::BackendState;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// The share of its calls that a backend gets at once when its breaker closes.
const FIRST_SHARE: f64 = 0.1;
/// Kinds of outcomes.
const ANSWERED: usize = 0;
const FAILED: usize = 1;

/// The state of a breaker.
pub(super) struct Machine {
    settings: document::Breaker,
    state: State,
    /// Moves with each change of state.
    epoch: u64,
    outcomes: Sliding,
    /// Timeouts one after the other.
    timeouts: u32,
    last_answer: Option<Instant>,
    reason: Option<&'static str>,
    since: SystemTime,
}

enum State {
    Closed {
        /// When a trial closed it; absent once its share has grown to the whole.
        recovered: Option<Instant>,
    },
    Open {
        until: Instant,
    },
    HalfOpen {
        /// When the one trial that is under way began.
        trial: Option<Instant>,
    },
}

/// What let one attempt through.
pub(super) struct Pass {
    trial: bool,
    epoch: u64,
    began: Instant,
}

impl Machine {
    pub(super) fn new(now: Instant) -> Self {
        let settings = document::Breaker {
            error_percent: defaults::BREAKER_ERROR_PERCENT,
            min_requests: defaults::BREAKER_MIN_REQUESTS,
            window_ms: defaults::BREAKER_WINDOW_MS,
            open_for_ms: defaults::BREAKER_OPEN_FOR_MS,
            consecutive_timeouts: defaults::BREAKER_CONSECUTIVE_TIMEOUTS,
            slow_start_ms: defaults::BREAKER_SLOW_START_MS,
        };
        Self {
            outcomes: Sliding::new(Duration::from_millis(settings.window_ms), now),
            settings,
            state: State::Closed { recovered: None },
            epoch: 0,
            timeouts: 0,
            last_answer: None,
            reason: None,
            since: SystemTime::now(),
        }
    }

    pub(super) fn configure(&mut self, settings: &document::Breaker) {
        self.outcomes.resize(Duration::from_millis(settings.window_ms));
        self.settings = settings.clone();
    }

    pub(super) fn admit(&mut self, now: Instant) -> Option<Pass> {
        if self.admits_after(now).is_some() {
            return None;
        }
        let trial = !matches!(self.state, State::Closed { .. });
        if matches!(self.state, State::Open { .. }) {
            self.become_(State::HalfOpen { trial: None });
        }
        if let State::HalfOpen { trial } = &mut self.state {
            *trial = Some(now);
        }
        Some(Pass { trial, epoch: self.epoch, began: now })
    }

    pub(super) fn admits_after(&self, now: Instant) -> Option<Duration> {
        let until = match self.state {
            State::Closed { .. } | State::HalfOpen { trial: None } => return None,
            State::Open { until } => until,
            // A trial can take as long as an answer takes: another one may follow it meanwhile.
            State::HalfOpen { trial: Some(began) } => began + self.open_for(),
        };
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    pub(super) fn share(&mut self, now: Instant) -> Option<f64> {
        if self.admits_after(now).is_some() {
            return None;
        }
        let State::Closed { recovered: Some(at) } = self.state else { return Some(1.0) };
        let slow_start = Duration::from_millis(self.settings.slow_start_ms);
        let passed = now.saturating_duration_since(at);
        if passed >= slow_start {
            self.state = State::Closed { recovered: None };
            return Some(1.0);
        }
        Some(FIRST_SHARE + (1.0 - FIRST_SHARE) * passed.div_duration_f64(slow_start))
    }

    pub(super) fn succeeded(&mut self, pass: &Pass, now: Instant) {
        if pass.epoch != self.epoch {
            return;
        }
        if pass.trial {
            self.become_(State::Closed { recovered: Some(now) });
        }
        self.timeouts = 0;
        self.last_answer = Some(now);
        self.outcomes.add::<ANSWERED>(now);
    }

    pub(super) fn failed(&mut self, pass: &Pass, reason: &'static str, timed_out: bool, now: Instant) {
        if pass.epoch != self.epoch {
            return;
        }
        if pass.trial {
            self.open(reason, now);
            return;
        }
        if !timed_out {
            self.timeouts = 0;
        } else if self.last_answer.is_none_or(|at| at < pass.began) {
            // One that began before the last answer came is late, and not next in a row.
            self.timeouts += 1;
        }
        self.count_failure(reason, now);
    }

    pub(super) fn cancelled(&mut self, pass: &Pass) {
        if pass.trial
            && pass.epoch == self.epoch
            && let State::HalfOpen { trial } = &mut self.state
        {
            *trial = None;
        }
    }

    pub(super) fn broke(&mut self, reason: &'static str, now: Instant) {
        if matches!(self.state, State::Closed { .. }) {
            self.outcomes.take::<ANSWERED>(now);
            self.count_failure(reason, now);
        }
    }

    pub(super) fn health(&self, now: Instant) -> Health {
        let state = match self.state {
            State::Closed { .. } => BackendState::Healthy,
            State::HalfOpen { .. } => BackendState::HalfOpen,
            State::Open { until } if now >= until => BackendState::HalfOpen,
            State::Open { .. } => BackendState::Open,
        };
        Health { state, reason: self.reason, since: self.since }
    }

    fn count_failure(&mut self, reason: &'static str, now: Instant) {
        self.outcomes.add::<FAILED>(now);
        let [answered, failed] = self.outcomes.sums(now);
        let total = answered + failed;
        let share = u64::from(failed) * 100;
        let many = total >= self.settings.min_requests
            && share >= u64::from(total) * u64::from(self.settings.error_percent);
        if many || self.timeouts >= self.settings.consecutive_timeouts {
            self.open(reason, now);
        }
    }

    fn open(&mut self, reason: &'static str, now: Instant) {
        self.become_(State::Open { until: now + self.open_for() });
        self.reason = Some(reason);
    }

    fn become_(&mut self, state: State) {
        if matches!(state, State::Closed { .. }) {
            self.reason = None;
        }
        self.state = state;
        self.epoch += 1;
        self.since = SystemTime::now();
        self.outcomes.clear();
        self.timeouts = 0;
        CHANGES.fetch_add(1, Ordering::Relaxed);
    }

    fn open_for(&self) -> Duration {
        Duration::from_millis(self.settings.open_for_ms)
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
