//! How each watch is: whether its first list is complete, and when it last heard from the API server.

use crate::metrics::{Metrics, Watched};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Watches end every 200 s and start again, so one that was silent for this long is broken.
const STALE: Duration = Duration::from_mins(10);

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
    heard: Instant,
    errors: u32,
}

impl Health {
    /// No watches yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { watches: Mutex::default(), metrics, changed: Notify::new() }
    }

    /// A watch begins.
    pub fn begin(&self, name: &str, kind: &'static str) {
        let watch = Watch { kind, synced: false, heard: Instant::now(), errors: 0 };
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
        watch.heard = Instant::now();
        watch.errors = 0;
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

    /// For how long no watch has heard anything, when that is too long.
    pub fn all_stale(&self) -> Option<Duration> {
        let watches = self.watches.lock();
        let age = watches.values().map(|watch| watch.heard.elapsed()).min()?;
        (age > STALE).then_some(age)
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
        assert_eq!(health.all_stale(), None);
        tokio::time::advance(STALE * 2).await;
        assert!(health.all_stale().is_some());
    }
}
