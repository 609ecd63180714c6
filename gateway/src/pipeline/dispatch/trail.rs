//! What a call has met with at its route's backends so far: kept from its first attempt to its last continuation.

use crate::upstream::balance::Set;
use std::time::Duration;
use tokio::time::Instant;

/// The backends that a call has been to.
#[derive(Debug, Default)]
pub struct Trail {
    /// Those that failed in this call, before their answer or within it: asked again where no other is left.
    pub tried: Set,
    /// Those of them whose answer broke.
    pub broke: Set,
    /// Those that were asked and are never asked again in this call.
    pub barred: Set,
    /// Attempts that were not counted, as only the key was refused.
    pub spared: u32,
    /// Before when those that named a time are not asked again.
    waits: Vec<(usize, Instant)>,
}

impl Trail {
    /// The backend at `at` wants to be asked again after this long.
    pub fn wait(&mut self, at: usize, after: Duration, now: Instant) {
        if let Some(until) = now.checked_add(after) {
            self.waits.push((at, until));
        }
    }

    /// How long the backend at `at` is not to be asked yet.
    #[must_use]
    pub fn left(&self, at: usize, now: Instant) -> Duration {
        let own = self.waits.iter().filter(|(of, _)| *of == at);
        own.map(|(_, until)| until.saturating_duration_since(now)).max().unwrap_or_default()
    }

    /// Those that are not to be asked for longer than `longest`.
    #[must_use]
    pub fn away(&self, longest: Duration, now: Instant) -> Set {
        let long = |at: &usize| self.left(*at, now) > longest;
        self.waits.iter().map(|(at, _)| *at).filter(long).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_backend_is_left_alone_for_as_long_as_it_asked_for_whatever_another_one_asked_for() {
        let (mut trail, start) = (Trail::default(), Instant::now());
        trail.wait(0, SECOND * 7, start);
        trail.wait(1, SECOND, start);
        trail.wait(0, SECOND, start);
        assert_eq!(
            (trail.left(0, start), trail.left(1, start), trail.left(2, start)),
            (SECOND * 7, SECOND, Duration::ZERO)
        );
        assert_eq!(trail.away(SECOND * 2, start), Set::of(0));
        let later = start + SECOND * 6;
        assert_eq!((trail.left(0, later), trail.left(1, later)), (SECOND, Duration::ZERO));
        assert_eq!(trail.away(SECOND * 2, later), Set::default(), "its time has nearly come");
    }
}
