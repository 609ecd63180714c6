//! Bytes of answers that are being recorded, all calls together: beyond it answers pass without being held.

use std::sync::atomic::{AtomicU64, Ordering};

/// How much may be recorded.
#[derive(Default)]
pub struct Budget {
    total: AtomicU64,
    /// By one answer.
    each: AtomicU64,
    used: AtomicU64,
}

impl Budget {
    /// Sets how many bytes all answers together, and each of them, may take.
    pub fn resize(&self, total: u64, each: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.each.store(each, Ordering::Relaxed);
    }

    /// Takes `more` bytes for an answer that has `taken` some; false where that is too much.
    #[must_use]
    pub fn take(&self, taken: u64, more: u64) -> bool {
        if taken.saturating_add(more) > self.each.load(Ordering::Relaxed) {
            return false;
        }
        let total = self.total.load(Ordering::Relaxed);
        let add = |used: u64| used.checked_add(more).filter(|sum| *sum <= total);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    /// Gives bytes back.
    pub fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes taken at present.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}
