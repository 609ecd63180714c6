//! How long to leave a failing item alone: longer each time, with jitter, forgotten after a success.

use crate::queue::Work;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_mins(1);

/// Failures in a row, by item.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: Mutex<HashMap<Work, u32>>,
}

impl Backoff {
    /// Counts a failure of `work` and says how long to wait.
    pub fn failed(&self, work: &Work) -> Duration {
        let mut failures = self.failures.lock();
        let count = failures.entry(work.clone()).or_default();
        *count += 1;
        delay(*count, rand::random_range(0.5..1.0))
    }

    /// Forgets the failures of `work`.
    pub fn succeeded(&self, work: &Work) {
        self.failures.lock().remove(work);
    }
}

/// The pause after `failures` failures in a row; `jitter` is its share that is used.
fn delay(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(LONGEST).mul_f64(jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pauses: Vec<_> = (1..=10).map(|n| delay(n, 1.0).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(delay(u32::MAX, 0.5), Duration::from_secs(30));
    }
}
