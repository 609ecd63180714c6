//! What this process answers on `GET /status`, and the revision that long polls wait on.

use crate::drain::{Drain, Phase};
use crate::observe::Observed;
use deepseek_config::report::{LoadedObject, Report};
use parking_lot::RwLock;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Moves whenever the report would read differently for other reasons than traffic. Cheap to clone.
///
/// It begins at the time of the process's start in milliseconds, so that a reader who saw the revisions of an earlier
/// process at the same address is not left waiting.
#[derive(Clone, Debug)]
pub struct Revision(Arc<watch::Sender<u64>>);

impl Default for Revision {
    fn default() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Arc::new(watch::Sender::new(u64::try_from(now.as_millis()).unwrap_or_default())))
    }
}

impl Revision {
    /// The loaded objects, the state of a backend or the phase of the process has changed.
    pub fn bump(&self) {
        self.0.send_modify(|revision| *revision += 1);
    }

    /// The revision now.
    pub fn get(&self) -> u64 {
        *self.0.borrow()
    }

    /// Resolves when the revision is above `after`, at the latest when `wait` has passed.
    pub async fn above(&self, after: u64, wait: Duration) {
        let mut receiver = self.0.subscribe();
        let _ = tokio::time::timeout(wait, receiver.wait_for(|revision| *revision > after)).await;
    }
}

/// Looks at whatever serves at the moment.
pub type Observe = Box<dyn Fn() -> Observed + Send + Sync>;

/// Collects the report.
pub struct Reporter {
    revision: Revision,
    objects: RwLock<Arc<Vec<LoadedObject>>>,
    drain: Drain,
    observe: Observe,
}

impl Reporter {
    /// Reports on `drain` and on what `observe` sees.
    pub fn new(revision: Revision, drain: Drain, observe: Observe) -> Self {
        Self { revision, objects: RwLock::default(), drain, observe }
    }

    /// What a long poll waits on.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// Replaces the loaded objects.
    pub fn set_objects(&self, objects: Vec<LoadedObject>) {
        let changed = **self.objects.read() != objects;
        if changed {
            *self.objects.write() = Arc::new(objects);
            self.revision.bump();
        }
    }

    /// The report as of now.
    pub fn report(&self) -> Report {
        // The revision first: whatever changes while the rest is read shows as a later one.
        let revision = self.revision.get();
        let objects = self.objects.read().clone();
        let Observed { streams, backends, routes, accounts } = (self.observe)();
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision,
            draining: self.drain.phase() > Phase::Serving,
            in_flight: self.drain.requests() as u64,
            streams,
            objects: objects.to_vec(),
            backends,
            routes,
            accounts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_long_poll_answers_when_the_revision_moves_or_the_time_is_up() {
        let revision = Revision::default();
        let now = revision.get();
        let start = tokio::time::Instant::now();
        revision.above(now - 1, Duration::from_secs(30)).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        revision.above(now, Duration::from_secs(30)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(30));
        let other = revision.clone();
        let poll = tokio::spawn(async move { other.above(now, Duration::from_secs(30)).await });
        tokio::task::yield_now().await;
        revision.bump();
        poll.await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(30));
    }

    #[test]
    fn the_revision_moves_only_with_a_real_change() {
        let reporter = Reporter::new(Revision::default(), Drain::default(), Box::new(Observed::default));
        let start = reporter.report().revision;
        reporter.set_objects(Vec::new());
        assert_eq!(reporter.report().revision, start);
    }
}
