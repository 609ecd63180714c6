//! The thread that owns the store: takes changes in, joins, publishes, saves.
//!
//! Changes that are waiting are joined together. After a join the thread rests nine times as long as the join took
//! (at most [`LONGEST_REST`]): a single change is live at once, and a burst costs a tenth of a core, whatever its size.

use super::last_good::LastGood;
use super::metrics::ConfigMetrics;
use super::store::{Change, Store};
use crate::report::Reporter;
use deepseek_config::document::ObjectId;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::watch;

const LONGEST_REST: Duration = Duration::from_millis(100);

/// How far apart two copies on disk are at least: each holds everything.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Joins what the store wants and serves it; returns what was refused, and why.
pub type Join = Box<dyn FnMut(&Store) -> Vec<(ObjectId, String)> + Send>;

/// Where sources put changes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Inbox(Sender<Change>);

impl Inbox {
    /// Hands a change over. Lost only when the thread is gone, that is, when the process is.
    pub fn send(&self, change: Change) {
        let _ = self.0.send(change);
    }
}

/// What the thread works with.
pub struct Worker {
    join: Join,
    reporter: Arc<Reporter>,
    metrics: ConfigMetrics,
    last_good: Option<LastGood>,
    /// What the last join refused, so that it is logged once.
    refused: BTreeMap<ObjectId, String>,
}

impl Worker {
    /// Serves by what `join` makes, tells `reporter` and `metrics` of it, and keeps copies in `last_good`.
    pub fn new(
        join: Join,
        reporter: Arc<Reporter>,
        metrics: ConfigMetrics,
        last_good: Option<LastGood>,
    ) -> Self {
        Self { join, reporter, metrics, last_good, refused: BTreeMap::new() }
    }

    /// Starts the thread. The second value counts the joins; 0 means that nothing was loaded yet.
    pub fn start(self) -> std::io::Result<(Inbox, watch::Receiver<u64>)> {
        let (sender, changes) = channel();
        let (joins, joined) = watch::channel(0);
        std::thread::Builder::new().name("config".to_owned()).spawn(move || self.run(&changes, &joins))?;
        Ok((Inbox(sender), joined))
    }

    /// Never ends while a source is there: a defect in the join must not freeze the configuration for ever.
    fn run(mut self, inbox: &Receiver<Change>, joins: &watch::Sender<u64>) {
        let mut store = Store::default();
        let mut saved = Instant::now();
        let mut unsaved = false;
        loop {
            let first = if unsaved {
                match inbox.recv_timeout(SAVE_EVERY.saturating_sub(saved.elapsed())) {
                    Ok(change) => Some(change),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            } else {
                match inbox.recv() {
                    Ok(change) => Some(change),
                    Err(_) => return,
                }
            };
            let began = Instant::now();
            let everything = matches!(first, Some(Change::All { .. }));
            let mut changed = first.is_some_and(|change| store.apply(change));
            while let Ok(change) = inbox.try_recv() {
                changed |= store.apply(change);
            }
            if changed || (everything && *joins.borrow() == 0) {
                self.publish(&mut store);
                joins.send_modify(|count| *count += 1);
                unsaved = self.last_good.is_some();
            }
            if unsaved && (saved.elapsed() >= SAVE_EVERY || *joins.borrow() == 1) {
                self.save(&store);
                saved = Instant::now();
                unsaved = false;
            }
            std::thread::sleep((began.elapsed() * 9).min(LONGEST_REST));
        }
    }

    fn publish(&mut self, store: &mut Store) {
        let began = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| (self.join)(store))) {
            Ok(refused) => {
                let refused: BTreeMap<_, _> = refused.into_iter().collect();
                for (id, reason) in refused.iter().filter(|(id, reason)| self.refused.get(id) != Some(reason))
                {
                    tracing::warn!(%id, reason, "document refused, what was loaded before stays");
                }
                store.built(refused.clone());
                self.refused = refused;
            }
            // The panic itself is in the log already.
            Err(_) => {
                store.not_built("internal error while loading, see the gateway's log; please report it");
            }
        }
        self.reporter.set_objects(store.report());
        self.metrics.joined(store, self.reporter.revision().get(), began.elapsed());
        tracing::debug!(objects = store.documents().len(), took = ?began.elapsed(), "configuration joined");
    }

    fn save(&self, store: &Store) {
        let Some(last_good) = &self.last_good else { return };
        if let Err(error) = last_good.save(store) {
            self.metrics.save_errors.inc();
            tracing::warn!(%error, "the last good configuration was not saved; a restart will need the API server");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{backend, id};
    use super::*;
    use crate::drain::Drain;
    use crate::observe::Observed;
    use crate::report::Revision;
    use parking_lot::Mutex;

    type Joined = Arc<Mutex<Vec<usize>>>;

    /// A worker whose join only notes how many documents it was given.
    fn start(last_good: Option<LastGood>) -> (Inbox, watch::Receiver<u64>, Joined, Arc<Reporter>) {
        let reporter =
            Arc::new(Reporter::new(Revision::default(), Drain::default(), Box::new(Observed::default)));
        let seen = Joined::default();
        let join = {
            let seen = Arc::clone(&seen);
            Box::new(move |store: &Store| {
                seen.lock().push(store.documents().len());
                assert!(!store.documents().contains_key(&id("defect")), "a defect in the join");
                Vec::new()
            })
        };
        let worker = Worker::new(join, Arc::clone(&reporter), ConfigMetrics::default(), last_good);
        let (inbox, joined) = worker.start().unwrap();
        (inbox, joined, seen, reporter)
    }

    #[tokio::test]
    async fn a_burst_is_joined_in_few_steps_and_ends_complete() {
        let (inbox, mut joined, seen, reporter) = start(None);
        for n in 0..2_000 {
            let name = format!("b-{n}");
            inbox.send(Change::Put(id(&name), Ok(backend(&name, 1))));
        }
        while seen.lock().last() != Some(&2_000) {
            joined.changed().await.unwrap();
        }
        assert!(seen.lock().len() < 100, "{} joins", seen.lock().len());
        joined.wait_for(|_| reporter.report().objects.len() == 2_000).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_in_the_join_is_reported_and_the_next_change_is_taken() {
        let (inbox, mut joined, _, reporter) = start(None);
        inbox.send(Change::Put(id("defect"), Ok(backend("defect", 1))));
        joined.wait_for(|count| *count == 1).await.unwrap();
        let refused = reporter.report().objects[0].refused.clone().unwrap();
        assert!(refused.contains("internal error"), "{refused}");
        inbox.send(Change::Delete(id("defect")));
        inbox.send(Change::Put(id("a"), Ok(backend("a", 1))));
        joined.wait_for(|_| reporter.report().objects.iter().all(|o| o.refused.is_none())).await.unwrap();
    }

    #[tokio::test]
    async fn an_empty_configuration_counts_as_loaded() {
        let (inbox, mut joined, ..) = start(None);
        inbox.send(Change::All { objects: BTreeMap::new(), keys: None });
        joined.wait_for(|count| *count == 1).await.unwrap();
    }

    #[tokio::test]
    async fn the_first_load_is_saved_at_once_and_later_ones_soon() {
        let directory = tempfile::tempdir().unwrap();
        let last_good = LastGood::in_directory(directory.path()).unwrap();
        let (inbox, ..) = start(Some(last_good.clone()));
        let saved = |count| {
            let last_good = last_good.clone();
            async move {
                let deadline = Instant::now() + Duration::from_secs(10);
                loop {
                    let found = last_good.load().unwrap().map_or(0, |(objects, _)| objects.len());
                    if found == count {
                        return;
                    }
                    assert!(Instant::now() < deadline, "{found} of {count} objects on disk");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        inbox.send(Change::Put(id("a"), Ok(backend("a", 1))));
        saved(1).await;
        inbox.send(Change::Put(id("b"), Ok(backend("b", 1))));
        saved(2).await;
    }
}
