//! The retry budget of a backend: what is sent there again, or beside it, stays a small part of what is sent there first.
//!
//! An outage makes every call fail; without a bound every call would then be sent several times, just when the backend
//! can least bear it. Asking a backend that was not asked yet in this call is never bounded: an outage must not become
//! errors.

use crate::upstream::sliding::Sliding;
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// How far back calls count.
const WINDOW: Duration = Duration::from_secs(10);
/// So many more are allowed in a window however few calls there are, or little traffic could not be retried at all.
const FLOOR: u32 = 3;
/// Kinds of attempts.
const FIRST: usize = 0;
const MORE: usize = 1;

/// Attempts at one backend of late.
pub struct Budget(Mutex<Sliding>);

impl Default for Budget {
    fn default() -> Self {
        Self(Mutex::new(Sliding::new(WINDOW, Instant::now())))
    }
}

impl Budget {
    /// Counts a first attempt.
    pub fn first(&self, now: Instant) {
        self.0.lock().add::<FIRST>(now);
    }

    /// Takes one more attempt out of `percent` of the first ones. Returns whether there was room.
    #[must_use]
    pub fn spend(&self, percent: u32, now: Instant) -> bool {
        if percent == 0 {
            return false;
        }
        let mut attempts = self.0.lock();
        let [first, more] = attempts.sums(now);
        let room = u64::from(first) * u64::from(percent) / 100;
        if u64::from(more) >= room.max(u64::from(FLOOR)) {
            return false;
        }
        attempts.add::<MORE>(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn little_traffic_can_be_retried_and_much_is_bounded() {
        let (budget, now) = (Budget::default(), Instant::now());
        assert_eq!((0..10).filter(|_| budget.spend(20, now)).count(), 3, "the floor");
        (0..100).for_each(|_| budget.first(now));
        assert_eq!((0..100).filter(|_| budget.spend(20, now)).count(), 17, "20 % of 100, less 3");
        assert!(budget.spend(20, now + WINDOW), "a window later there is room again");
        assert!(!budget.spend(0, now + WINDOW), "0 % means never");
    }

    proptest! {
        #[test]
        fn whatever_the_traffic_no_window_has_more_than_its_part(
            percent in 1_u32..=100,
            steps in prop::collection::vec((0_u64..400, prop::bool::weighted(0.4)), 1..400),
        ) {
            let budget = Budget::default();
            let mut now = Instant::now();
            let mut log: Vec<(Instant, bool)> = Vec::new();
            for (pause, first) in steps {
                now += Duration::from_millis(pause);
                if first {
                    budget.first(now);
                    log.push((now, true));
                } else if budget.spend(percent, now) {
                    log.push((now, false));
                    // A slice is a tenth of the window: what is counted is between nine and ten tenths of it.
                    let within = |of: Duration, kind: bool| {
                        log.iter().filter(|(at, first)| now - *at < of && *first == kind).count()
                    };
                    let more = within(WINDOW * 9 / 10, false);
                    let room = within(WINDOW, true) * percent as usize / 100;
                    prop_assert!(more <= room.max(FLOOR as usize), "{more} of {room}");
                }
            }
        }
    }
}
