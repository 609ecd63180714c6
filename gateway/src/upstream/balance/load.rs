//! What a backend has to do: calls in flight there, and how long it lately took to begin an answer.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// After this long without news, what is known of a backend's pace has faded to a third.
const FADES: f64 = 10.0;
/// What has faded below this many seconds is forgotten: one call is sent to see.
const FORGOTTEN: f64 = 0.001;
/// A backend of unknown pace that is being asked already costs this much, in seconds: others are asked meanwhile.
const UNKNOWN: f64 = 1e6;

/// The load of one backend of one route, in this pod.
#[derive(Default)]
pub struct Load {
    in_flight: AtomicU32,
    pace: Mutex<Pace>,
}

/// A moving average of the seconds until an answer began, that rises at once and falls slowly ("peak EWMA").
#[derive(Default)]
struct Pace {
    seconds: f64,
    at: Option<Instant>,
}

/// A call in flight; dropping it ends it.
pub struct Calling {
    load: Arc<Load>,
    began: Instant,
    told: bool,
}

impl Load {
    /// A call begins.
    #[must_use]
    pub fn enter(load: &Arc<Self>, now: Instant) -> Calling {
        load.in_flight.fetch_add(1, Ordering::Relaxed);
        Calling { load: Arc::clone(load), began: now, told: false }
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How long one more call would have to wait, on the pessimistic side: only good for comparing.
    pub fn cost(&self, now: Instant) -> f64 {
        let in_flight = f64::from(self.in_flight());
        let seconds = self.pace.lock().faded(now);
        if seconds >= FORGOTTEN {
            seconds * (in_flight + 1.0)
        } else if in_flight > 0.0 {
            UNKNOWN + in_flight
        } else {
            0.0
        }
    }
}

impl Pace {
    fn faded(&self, now: Instant) -> f64 {
        let Some(at) = self.at else { return 0.0 };
        self.seconds * keeps(now.saturating_duration_since(at))
    }

    fn observe(&mut self, took: Duration, now: Instant) {
        let took = took.as_secs_f64();
        let since = self.at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        let keeps = keeps(since);
        self.seconds = if took > self.seconds { took } else { self.seconds * keeps + took * (1.0 - keeps) };
        self.at = Some(now);
    }

    /// Something took at least this long, and was not waited for any longer.
    fn at_least(&mut self, took: Duration, now: Instant) {
        if took.as_secs_f64() > self.faded(now) {
            self.observe(took, now);
        }
    }
}

/// The part of an old value that is left after a time.
fn keeps(since: Duration) -> f64 {
    (-since.as_secs_f64() / FADES).exp()
}

impl Calling {
    /// Its answer has begun.
    pub fn answered(&mut self) {
        self.answered_at(Instant::now());
    }

    fn answered_at(&mut self, now: Instant) {
        if !self.told {
            self.told = true;
            self.load.pace.lock().observe(now.saturating_duration_since(self.began), now);
        }
    }

    fn given_up_at(&self, now: Instant) {
        // One that failed early says nothing of the pace; one that was waited for in vain does.
        self.load.pace.lock().at_least(now.saturating_duration_since(self.began), now);
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.load.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !self.told {
            self.given_up_at(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn answer(load: &Arc<Load>, began: Instant, took: Duration) {
        Load::enter(load, began).answered_at(began + took);
    }

    fn about(a: f64, b: f64) -> bool {
        (a - b).abs() < b * 0.01
    }

    #[test]
    fn a_slow_answer_counts_at_once_and_fades_slowly() {
        let (load, start) = (Arc::new(Load::default()), Instant::now());
        answer(&load, start, SECOND / 10);
        answer(&load, start, SECOND * 2);
        assert!(about(load.cost(start + SECOND * 2), 2.0), "the peak at once");
        answer(&load, start + SECOND * 2, SECOND / 10);
        let then = start + SECOND * 2 + SECOND / 10;
        assert!(load.cost(then) > 1.9, "one fast answer does not outweigh it");
        assert!(about(load.cost(then + SECOND * 10), load.cost(then) / std::f64::consts::E));
    }

    #[test]
    fn calls_in_flight_make_it_dearer_and_dropping_them_cheaper() {
        let (load, start) = (Arc::new(Load::default()), Instant::now());
        answer(&load, start, SECOND);
        let now = start + SECOND;
        let calls: Vec<_> = (0..3).map(|_| Load::enter(&load, now)).collect();
        assert_eq!(load.in_flight(), 3);
        assert!(about(load.cost(now), 4.0));
        drop(calls);
        assert_eq!(load.in_flight(), 0);
    }

    #[test]
    fn a_backend_of_unknown_pace_gets_one_call_at_a_time() {
        let (load, now) = (Arc::new(Load::default()), Instant::now());
        assert_eq!(load.cost(now).total_cmp(&0.0), std::cmp::Ordering::Equal);
        let _first = Load::enter(&load, now);
        assert!(load.cost(now) >= UNKNOWN);
    }

    #[test]
    fn what_was_waited_for_in_vain_counts_and_an_early_failure_does_not() {
        let (load, start) = (Arc::new(Load::default()), Instant::now());
        answer(&load, start, SECOND);
        Load::enter(&load, start).given_up_at(start + SECOND / 100);
        assert!(about(load.cost(start + SECOND), 1.0));
        Load::enter(&load, start).given_up_at(start + SECOND * 5);
        assert!(about(load.cost(start + SECOND * 5), 5.0));
    }
}
