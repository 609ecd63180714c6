//! Notices a wedged runtime: a worker thread that neither sleeps nor gets on.
//!
//! The liveness probe is answered by the runtime it is about, so a runtime that is wedged as a whole fails it by
//! silence. With several workers the others go on answering; this thread looks at each of them. A worker that is awake
//! but has moved none of its counters for [`PATIENCE`] is stuck in one poll.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, RuntimeMetrics};

/// How long a worker may take for one poll. The longest legitimate one is a large body's check: milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often the workers are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Says whether every worker of a runtime gets on. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Watchdog(Arc<AtomicBool>);

impl Watchdog {
    /// Watches the runtime behind `handle` from a thread of its own.
    pub fn start(handle: &Handle) -> std::io::Result<Self> {
        Self::watch(handle.metrics(), PATIENCE, EVERY)
    }

    /// Whether some worker is stuck.
    pub fn is_wedged(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn set_wedged(&self, wedged: bool) {
        self.0.store(wedged, Ordering::Relaxed);
    }

    fn watch(metrics: RuntimeMetrics, patience: Duration, every: Duration) -> std::io::Result<Self> {
        let watchdog = Self::default();
        let verdict = Arc::downgrade(&watchdog.0);
        let look = move || {
            let mut workers: Vec<_> = (0..metrics.num_workers()).map(|n| Worker::new(&metrics, n)).collect();
            while let Some(verdict) = verdict.upgrade() {
                let mut wedged = false;
                for worker in &mut workers {
                    wedged |= worker.look(&metrics) >= patience;
                }
                if verdict.swap(wedged, Ordering::Relaxed) != wedged {
                    tracing::error!(wedged, "a worker thread of the runtime is stuck, or no longer so");
                }
                drop(verdict);
                std::thread::sleep(every);
            }
        };
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(look)?;
        Ok(watchdog)
    }
}

struct Worker {
    number: usize,
    seen: (u64, Duration),
    since: Instant,
}

impl Worker {
    fn new(metrics: &RuntimeMetrics, number: usize) -> Self {
        Self { number, seen: Self::counters(metrics, number), since: Instant::now() }
    }

    fn counters(metrics: &RuntimeMetrics, number: usize) -> (u64, Duration) {
        (metrics.worker_park_unpark_count(number), metrics.worker_total_busy_duration(number))
    }

    /// How long it has been awake without moving.
    fn look(&mut self, metrics: &RuntimeMetrics) -> Duration {
        let now = Self::counters(metrics, self.number);
        let parked = now.0 % 2 == 1;
        if parked || now != self.seen {
            self.seen = now;
            self.since = Instant::now();
        }
        self.since.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};
    use tokio::runtime::{Builder, Runtime};

    const SOON: Duration = Duration::from_millis(50);

    fn runtime() -> Runtime {
        Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    fn watch(runtime: &Runtime) -> Watchdog {
        Watchdog::watch(runtime.handle().metrics(), SOON, SOON / 10).unwrap()
    }

    fn reaches(watchdog: &Watchdog, wedged: bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while watchdog.is_wedged() != wedged {
            assert!(Instant::now() < deadline, "is_wedged stays {}", !wedged);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn one_stuck_worker_of_two_is_noticed_and_forgiven_when_it_gets_on() {
        let runtime = runtime();
        let watchdog = watch(&runtime);
        let (release, stuck): (_, Receiver<()>) = channel();
        runtime.spawn(async move { stuck.recv().is_ok() });
        reaches(&watchdog, true);
        release.send(()).unwrap();
        reaches(&watchdog, false);
    }

    #[test]
    fn neither_idle_nor_busy_workers_are_taken_for_stuck() {
        let runtime = runtime();
        let watchdog = watch(&runtime);
        let busy = runtime.spawn(async {
            let start = Instant::now();
            while start.elapsed() < SOON * 6 {
                tokio::task::yield_now().await;
            }
        });
        while !busy.is_finished() {
            assert!(!watchdog.is_wedged());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
