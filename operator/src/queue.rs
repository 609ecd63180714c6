//! The work queue: what is to be reconciled, each thing once, and never twice at the same time.
//!
//! ```text
//!   add ─▶ ready (by class, first in first out) ─▶ next ─▶ busy ─▶ done
//!   add_at ─▶ later ──(when due)──▶ ready                    │ success: waiters become ready
//!   wait ─▶ waiting for another item ◀───────────────────────┘ added meanwhile: ready again
//! ```
//!
//! Classes go in the order in which a gateway needs things: projected keys, the gateway itself, its backends, its
//! consumers, its routes. [`Queue`] is plain data with the time as an argument; [`WorkQueue`] is what tasks share.

use deepseek_config::document::{Kind, ObjectId};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Something to bring up to date.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Work {
    /// The Secret of projected keys of a gateway.
    Keys(ObjectId),
    /// A custom resource, its compiled documents and its status; also one that is gone and must leave nothing behind.
    Resource(ObjectId),
}

impl Work {
    /// Name of the controller in metrics and logs.
    pub fn controller(&self) -> &'static str {
        match self {
            Self::Keys(_) => "keys",
            Self::Resource(id) => match id.kind {
                Kind::Gateway => "gateway",
                Kind::Backend => "backend",
                Kind::Consumer => "consumer",
                Kind::Route => "route",
            },
        }
    }

    fn class(&self) -> usize {
        match self {
            Self::Keys(_) => 0,
            Self::Resource(id) => 1 + id.kind as usize,
        }
    }
}

/// Number of values of [`Work::class`].
const CLASSES: usize = 1 + Kind::ALL.len();

/// The queue's state.
#[derive(Debug, Default)]
pub struct Queue {
    ready: [VecDeque<Work>; CLASSES],
    /// What is in `ready`, or was added while busy.
    dirty: HashSet<Work>,
    busy: HashSet<Work>,
    later: BTreeSet<(Instant, Work)>,
    due: HashMap<Work, Instant>,
    waiting: HashMap<Work, HashSet<Work>>,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// This; it is busy until [`Queue::done`].
    Work(Work),
    /// Nothing before this time.
    At(Instant),
    /// Nothing.
    Nothing,
}

impl Queue {
    /// Makes `work` ready now, whatever time it was put off to.
    pub fn add(&mut self, work: Work) {
        if let Some(at) = self.due.remove(&work) {
            self.later.remove(&(at, work.clone()));
        }
        if self.dirty.insert(work.clone()) && !self.busy.contains(&work) {
            self.ready[work.class()].push_back(work);
        }
    }

    /// Makes `work` ready at `at`, or earlier where it is due earlier.
    pub fn add_at(&mut self, work: Work, at: Instant) {
        if self.dirty.contains(&work) {
            return;
        }
        match self.due.get(&work) {
            Some(earlier) if *earlier <= at => return,
            Some(&later) => {
                self.later.remove(&(later, work.clone()));
            }
            None => {}
        }
        self.due.insert(work.clone(), at);
        self.later.insert((at, work));
    }

    /// Makes `work` ready once `on` has been done with success.
    pub fn wait(&mut self, work: Work, on: Work) {
        self.waiting.entry(on).or_default().insert(work);
    }

    /// Takes the first thing that is ready.
    pub fn next(&mut self, now: Instant) -> Next {
        while let Some((at, _)) = self.later.first() {
            if *at > now {
                break;
            }
            if let Some((_, work)) = self.later.pop_first() {
                self.add(work);
            }
        }
        for class in &mut self.ready {
            if let Some(work) = class.pop_front() {
                self.dirty.remove(&work);
                self.busy.insert(work.clone());
                return Next::Work(work);
            }
        }
        self.later.first().map_or(Next::Nothing, |(at, _)| Next::At(*at))
    }

    /// Says that `work` is no longer busy. With success those that waited for it are ready.
    pub fn done(&mut self, work: &Work, success: bool) {
        self.busy.remove(work);
        if self.dirty.contains(work) {
            self.ready[work.class()].push_back(work.clone());
        }
        if success && let Some(waiting) = self.waiting.remove(work) {
            for work in waiting {
                self.add(work);
            }
        }
    }

    /// How many things are ready.
    pub fn depth(&self) -> usize {
        self.ready.iter().map(VecDeque::len).sum()
    }
}

/// A [`Queue`] that tasks share.
#[derive(Debug, Default)]
pub struct WorkQueue {
    queue: Mutex<Queue>,
    changed: Notify,
}

impl WorkQueue {
    /// See [`Queue::add`].
    pub fn add(&self, work: Work) {
        self.queue.lock().add(work);
        self.changed.notify_one();
    }

    /// Makes resources ready now.
    pub fn add_all(&self, ids: impl IntoIterator<Item = ObjectId>) {
        let mut queue = self.queue.lock();
        ids.into_iter().for_each(|id| queue.add(Work::Resource(id)));
        drop(queue);
        self.changed.notify_one();
    }

    /// See [`Queue::add_at`].
    pub fn add_after(&self, work: Work, delay: Duration) {
        self.queue.lock().add_at(work, Instant::now() + delay);
        self.changed.notify_one();
    }

    /// See [`Queue::wait`].
    pub fn wait(&self, work: Work, on: Work) {
        self.queue.lock().wait(work, on);
    }

    /// See [`Queue::done`].
    pub fn done(&self, work: &Work, success: bool) {
        self.queue.lock().done(work, success);
        self.changed.notify_one();
    }

    /// How many things are ready.
    pub fn depth(&self) -> usize {
        self.queue.lock().depth()
    }

    /// Waits for something to do.
    pub async fn next(&self) -> Work {
        loop {
            let next = self.queue.lock().next(Instant::now());
            match next {
                Next::Work(work) => {
                    // One wake-up may stand for several items: pass it on.
                    self.changed.notify_one();
                    return work;
                }
                Next::At(at) => {
                    let _ = tokio::time::timeout_at(at, self.changed.notified()).await;
                }
                Next::Nothing => self.changed.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str) -> Work {
        Work::Resource(ObjectId::new(Kind::Route, "ns", name))
    }

    fn keys() -> Work {
        Work::Keys(ObjectId::new(Kind::Gateway, "ns", "gw"))
    }

    #[test]
    fn keys_come_before_backends_and_backends_before_routes() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let backend = Work::Resource(ObjectId::new(Kind::Backend, "ns", "b"));
        for work in [route("a"), backend.clone(), keys(), route("b")] {
            queue.add(work);
        }
        for expected in [keys(), backend, route("a"), route("b")] {
            assert_eq!(queue.next(now), Next::Work(expected));
        }
        assert_eq!(queue.next(now), Next::Nothing);
    }

    #[test]
    fn what_is_added_twice_runs_once_and_what_is_added_while_busy_runs_again() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(route("a"));
        queue.add(route("a"));
        assert_eq!(queue.next(now), Next::Work(route("a")));
        queue.add(route("a"));
        assert_eq!(queue.next(now), Next::Nothing, "never twice at the same time");
        queue.done(&route("a"), true);
        assert_eq!(queue.next(now), Next::Work(route("a")));
        queue.done(&route("a"), true);
        assert_eq!(queue.next(now), Next::Nothing);
    }

    #[test]
    fn the_earlier_time_counts_and_now_is_earliest() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let soon = now + Duration::from_secs(1);
        queue.add_at(route("a"), now + Duration::from_secs(9));
        queue.add_at(route("a"), soon);
        queue.add_at(route("a"), now + Duration::from_secs(5));
        assert_eq!(queue.next(now), Next::At(soon));
        assert_eq!(queue.next(soon), Next::Work(route("a")));
        queue.done(&route("a"), true);
        queue.add_at(route("a"), soon);
        queue.add(route("a"));
        assert_eq!(queue.next(now), Next::Work(route("a")));
        queue.done(&route("a"), true);
        assert_eq!(queue.next(soon), Next::Nothing, "the later run is covered by the earlier one");
    }

    #[test]
    fn waiters_run_after_success_only() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(keys());
        queue.wait(route("a"), keys());
        assert_eq!(queue.next(now), Next::Work(keys()));
        queue.done(&keys(), false);
        assert_eq!(queue.next(now), Next::Nothing);
        queue.done(&keys(), true);
        assert_eq!(queue.next(now), Next::Work(route("a")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleeping_worker_wakes_for_what_is_due() {
        let queue = WorkQueue::default();
        queue.add_after(route("a"), Duration::from_secs(3));
        let start = Instant::now();
        assert_eq!(queue.next().await, route("a"));
        assert_eq!(start.elapsed().as_secs(), 3);
    }
}
