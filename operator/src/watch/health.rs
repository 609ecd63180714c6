//! How each watch is: whether its first list is complete, and since when it fails.
//!
//! A watch of something that nobody changes is silent, and a new attempt that succeeds is too. So silence says nothing:
//! a watch is broken when its failures go on and on.

use crate::metrics::{Metrics, Watched};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio::time::Instant;

/// For how long every watch must have failed before a restart is worth trying.
const BROKEN: Duration = Duration::from_mins(10);
/// Failures further apart than this are each their own: attempts come every five seconds at least.
const APART: Duration = Duration::from_mins(1);

/// How each watch is.
#[derive(Debug)]
pub struct Health {
    watches: Mutex<BTreeMap<String, Watch>>,
    metrics: Arc<Metrics>,
    changed: Notify,
}

#[derive(Debug)]
struct Watch {
    kind: &'static str,
    synced: bool,
    errors: u32,
    /// First and last of the failures in a row.
    failing: Option<(Instant, Instant)>,
}

impl Health {
    /// No watches yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { watches: Mutex::default(), metrics, changed: Notify::new() }
    }

    /// A watch begins.
    pub fn begin(&self, name: &str, kind: &'static str) {
        let watch = Watch { kind, synced: false, errors: 0, failing: None };
        self.watches.lock().insert(name.to_owned(), watch);
    }

    /// A watch is no longer wanted.
    pub fn end(&self, name: &str) {
        self.watches.lock().remove(name);
        self.changed.notify_waiters();
    }

    /// A watch delivered something; `synced` when that was the end of its first list.
    pub fn heard(&self, name: &str, synced: bool) {
        let mut watches = self.watches.lock();
        let Some(watch) = watches.get_mut(name) else { return };
        (watch.errors, watch.failing) = (0, None);
        let kind = watch.kind;
        let first = synced && !watch.synced;
        watch.synced |= synced;
        drop(watches);
        let label = Watched { kind };
        self.metrics.watch_events.get_or_create(&label).inc();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.metrics.watch_last_success.get_or_create(&label).set(now.as_secs_f64());
        if first {
            self.changed.notify_waiters();
        }
    }

    /// A watch failed. Returns how many times in a row.
    pub fn failed(&self, name: &str) -> u32 {
        let mut watches = self.watches.lock();
        let Some(watch) = watches.get_mut(name) else { return 0 };
        let now = Instant::now();
        match &mut watch.failing {
            Some((_, last)) if now.duration_since(*last) <= APART => *last = now,
            failing => {
                *failing = Some((now, now));
                watch.errors = 0;
            }
        }
        watch.errors += 1;
        self.metrics.watch_errors.get_or_create(&Watched { kind: watch.kind }).inc();
        watch.errors
    }

    /// What keeps this replica from being ready: watches without a first list.
    pub fn unsynced(&self) -> Vec<String> {
        let watches = self.watches.lock();
        let missing = watches.iter().filter(|(_, watch)| !watch.synced);
        missing.map(|(name, _)| format!("the first list of {name} is not complete")).collect()
    }

    /// Waits until every watch has delivered its first list.
    pub async fn synced(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.unsynced().is_empty() {
                return;
            }
            changed.await;
        }
    }

    /// For how long every watch has been failing, when that is too long.
    pub fn all_broken(&self) -> Option<Duration> {
        let watches = self.watches.lock();
        let failing = |watch: &Watch| match watch.failing {
            Some((first, last)) if last.elapsed() <= APART => first.elapsed(),
            _ => Duration::ZERO,
        };
        let shortest = watches.values().map(failing).min()?;
        (shortest > BROKEN).then_some(shortest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_replica_is_ready_when_every_first_list_is_complete() {
        let health = Health::new(Arc::new(Metrics::new().0));
        health.begin("Pod", "Pod");
        health.heard("Pod", false);
        assert_eq!(health.unsynced(), ["the first list of Pod is not complete"]);
        health.heard("Pod", true);
        health.synced().await;
    }

    #[tokio::test(start_paused = true)]
    async fn only_failures_that_go_on_in_every_watch_are_worth_a_restart() {
        let health = Health::new(Arc::new(Metrics::new().0));
        for kind in ["Pod", "Secret"] {
            health.begin(kind, kind);
            health.heard(kind, true);
        }
        tokio::time::advance(BROKEN * 2).await;
        assert_eq!(health.all_broken(), None, "a cluster at rest is silent");
        let fail = async |kinds: &[&str]| {
            for _ in 0..BROKEN.as_secs() / 4 {
                for kind in kinds {
                    health.failed(kind);
                }
                tokio::time::advance(Duration::from_secs(5)).await;
            }
        };
        fail(&["Pod"]).await;
        assert_eq!(health.all_broken(), None, "the other one is well");
        fail(&["Pod", "Secret"]).await;
        assert!(health.all_broken().is_some());
        tokio::time::advance(APART * 2).await;
        assert_eq!(health.all_broken(), None, "the last attempt succeeded, as no failure followed");
    }
}
