//! Counts over the last while: a window of ten slices that moves on by a slice at a time.

use std::time::{Duration, Instant};

const SLICES: usize = 10;

/// Counts of two kinds of events over a sliding window.
#[derive(Debug)]
pub struct Sliding {
    slice: Duration,
    /// When the newest slice began.
    began: Instant,
    newest: usize,
    counts: [[u32; 2]; SLICES],
}

impl Sliding {
    /// An empty window of this length.
    #[must_use]
    pub fn new(window: Duration, now: Instant) -> Self {
        Self { slice: slice_of(window), began: now, newest: 0, counts: [[0; 2]; SLICES] }
    }

    /// Takes another length; what was counted stays.
    pub fn resize(&mut self, window: Duration) {
        self.slice = slice_of(window);
    }

    /// Counts one event of kind `A`.
    pub fn add<const A: usize>(&mut self, now: Instant) {
        self.turn(now);
        self.counts[self.newest][A] += 1;
    }

    /// Takes back the latest event of kind `A`, if the window still has one.
    pub fn take<const A: usize>(&mut self, now: Instant) {
        self.turn(now);
        let mut newest_first = (0..SLICES).map(|age| (self.newest + SLICES - age) % SLICES);
        if let Some(at) = newest_first.find(|at| self.counts[*at][A] > 0) {
            self.counts[at][A] -= 1;
        }
    }

    /// How many of each kind the window holds.
    pub fn sums(&mut self, now: Instant) -> [u32; 2] {
        self.turn(now);
        self.counts.iter().fold([0, 0], |[a, b], [more_a, more_b]| [a + more_a, b + more_b])
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.counts = [[0; 2]; SLICES];
    }

    /// Drops the slices that `now` has left behind.
    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.began);
        if passed < self.slice {
            return;
        }
        if passed >= self.slice * 2 * u32::try_from(SLICES).unwrap_or(u32::MAX) {
            self.clear();
            self.began = now;
            return;
        }
        while now.saturating_duration_since(self.began) >= self.slice {
            self.began += self.slice;
            self.newest = (self.newest + 1) % SLICES;
            self.counts[self.newest] = [0; 2];
        }
    }
}

fn slice_of(window: Duration) -> Duration {
    (window / u32::try_from(SLICES).unwrap_or(u32::MAX)).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_older_than_the_window_is_gone_and_the_rest_stays() {
        let start = Instant::now();
        let mut counts = Sliding::new(WINDOW, start);
        for second in 0..10 {
            counts.add::<0>(start + SECOND * second);
            counts.add::<1>(start + SECOND * second);
            counts.add::<1>(start + SECOND * second);
        }
        assert_eq!(counts.sums(start + SECOND * 9), [10, 20]);
        assert_eq!(counts.sums(start + SECOND * 12), [7, 14]);
        assert_eq!(counts.sums(start + SECOND * 25), [0, 0]);
        counts.add::<0>(start + SECOND * 25);
        assert_eq!(counts.sums(start + SECOND * 3600), [0, 0], "a long silence");
        counts.add::<0>(start + SECOND * 3600);
        assert_eq!(counts.sums(start + SECOND * 3609), [1, 0]);
    }

    #[test]
    fn an_event_can_be_taken_back_and_only_once() {
        let start = Instant::now();
        let mut counts = Sliding::new(WINDOW, start);
        counts.add::<0>(start);
        counts.take::<0>(start + SECOND * 4);
        counts.take::<0>(start + SECOND * 4);
        assert_eq!(counts.sums(start + SECOND * 4), [0, 0]);
    }

    #[test]
    fn a_window_of_no_length_forgets_at_once_and_does_not_hang() {
        let start = Instant::now();
        let mut counts = Sliding::new(Duration::ZERO, start);
        counts.add::<0>(start);
        assert_eq!(counts.sums(start + SECOND), [0, 0]);
    }
}
