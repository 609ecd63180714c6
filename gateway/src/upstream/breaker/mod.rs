//! A circuit breaker: closed → open on a high share of failures, or on timeouts one after the other → half-open with one
//! trial → closed again, with a share of the calls that grows slowly.
//!
//! An attempt is let through with a [`Permit`], which tells how it ended. The rules are in [`machine`].

mod machine;

use deepseek_config::document;
use deepseek_crds::v1alpha1::BackendState;
use machine::{Machine, Pass};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime};

/// Moves with every change of any breaker's state, so that reports know when to look again.
pub static CHANGES: AtomicU64 = AtomicU64::new(0);

/// The health of one backend of one route, in this pod.
pub struct Breaker {
    machine: Mutex<Machine>,
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
    /// Until it is told.
    pass: Option<Pass>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

impl Breaker {
    /// Closed, with the default settings.
    #[must_use]
    pub fn new() -> Self {
        Self { machine: Mutex::new(Machine::new(Instant::now())) }
    }

    /// Takes new settings; state and counts stay.
    pub fn configure(&self, settings: &document::Breaker) {
        self.machine.lock().configure(settings);
    }

    /// Permission for one attempt; `None` while open, or while a trial is under way.
    pub fn admit(self: &Arc<Self>, now: Instant) -> Option<Permit> {
        let pass = self.machine.lock().admit(now)?;
        Some(Permit { breaker: Arc::clone(self), pass: Some(pass) })
    }

    /// The part (above 0, up to 1) of its usual calls that should go to it now; `None` while it admits none.
    pub fn share(&self, now: Instant) -> Option<f64> {
        self.machine.lock().share(now)
    }

    /// When it will next admit an attempt, if it does not now.
    pub fn admits_after(&self, now: Instant) -> Option<Duration> {
        self.machine.lock().admits_after(now)
    }

    /// An answer that had begun well, and was told so, broke off.
    pub fn broke(&self, reason: &'static str) {
        self.machine.lock().broke(reason, Instant::now());
    }

    /// Its state as shown to people.
    pub fn health(&self) -> Health {
        self.machine.lock().health(Instant::now())
    }
}

impl Permit {
    /// The attempt was answered.
    pub fn succeeded(mut self) {
        if let Some(pass) = self.pass.take() {
            self.breaker.machine.lock().succeeded(&pass, Instant::now());
        }
    }

    /// The attempt failed by the backend's fault; `timed_out` is whether it had not answered in time.
    pub fn failed(mut self, reason: &'static str, timed_out: bool) {
        if let Some(pass) = self.pass.take() {
            self.breaker.machine.lock().failed(&pass, reason, timed_out, Instant::now());
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.breaker.machine.lock().cancelled(&pass);
        }
    }
}
