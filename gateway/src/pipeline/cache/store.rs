//! Answers that are kept: bounded in bytes, the least used go first.
//!
//! An answer that is past its time stays only where a route falls back on old ones; else it goes with the next sweep.
//! One that has gone takes memory for as long as a slow client reads it: while those take much, nothing new is kept.

use super::key::Key;
use crate::pipeline::tap::Usage;
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// An answer as it is given again.
#[derive(Debug)]
pub struct Kept {
    /// Its media type, which tells a stream from an answer in one piece.
    pub content_type: HeaderValue,
    /// All of it.
    pub body: Bytes,
    /// When its last byte came.
    pub since: Instant,
    /// When it is thrown away; `None`: when there is no room any more.
    pub until: Option<Instant>,
    /// The tokens that it cost.
    pub usage: Option<Usage>,
}

impl Kept {
    /// The answer, with its `Age` in seconds.
    #[must_use]
    pub fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(self.body.clone());
        response.headers_mut().insert(header::CONTENT_TYPE, self.content_type.clone());
        response.headers_mut().insert(header::AGE, HeaderValue::from(self.since.elapsed().as_secs()));
        response
    }
}

#[derive(Clone)]
struct Bytesize;

/// What an entry costs beside its body: key, headers, the store's own book-keeping.
const OVERHEAD: u64 = 256;
/// How often entries past their time are looked for.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// The store is cut in two, so that readers of one half do not wait for a writer in the other. The largest answer must
/// be well below half of it.
const SHARDS: usize = 2;
/// The part of the store's bytes that answers may take which have gone from it and are still being read: a quarter.
const GONE: u64 = 4;
/// Room is set aside for the book-keeping of this many entries at first.
const EXPECTED: usize = 1024;

impl Weighter<Key, Arc<Kept>> for Bytesize {
    fn weight(&self, _: &Key, kept: &Arc<Kept>) -> u64 {
        kept.body.len() as u64 + OVERHEAD
    }
}

/// The store.
pub struct Store {
    entries: Cache<Key, Arc<Kept>, Bytesize, RandomState>,
    largest: AtomicU64,
    /// Bytes of all bodies that were kept and that anybody still has.
    alive: Arc<AtomicU64>,
    swept: Mutex<Option<Instant>>,
}

impl Default for Store {
    fn default() -> Self {
        let options = quick_cache::OptionsBuilder::new()
            .estimated_items_capacity(EXPECTED)
            .weight_capacity(0)
            .shards(SHARDS)
            .build()
            .unwrap_or_else(|_| unreachable!("both capacities are given"));
        let entries = Cache::with_options(options, Bytesize, RandomState::new(), DefaultLifecycle::default());
        Self { entries, largest: AtomicU64::new(0), alive: Arc::default(), swept: Mutex::default() }
    }
}

impl Store {
    /// Sets how many bytes it holds, and in the largest answer; what is above goes at once.
    pub fn resize(&self, bytes: u64, largest: u64) {
        self.largest.store(largest, Ordering::Relaxed);
        if self.entries.capacity() != bytes {
            self.entries.set_capacity(bytes);
        }
    }

    /// An answer to the call, whatever its age.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<Kept>> {
        self.entries.get(key)
    }

    /// Keeps an answer in place of an older one.
    pub fn put(&self, key: Key, mut kept: Kept) {
        let too_large = kept.body.len() as u64 + OVERHEAD > self.largest.load(Ordering::Relaxed);
        if too_large || self.gone() > self.entries.capacity() / GONE {
            self.entries.remove(&key);
            return;
        }
        kept.body = Alive::count(kept.body, &self.alive);
        self.entries.insert(key, Arc::new(kept));
        self.sweep();
    }

    /// Entries, and their bytes with those of entries that are gone and still being read.
    #[must_use]
    pub fn size(&self) -> (usize, u64) {
        (self.entries.len(), self.entries.weight() + self.gone())
    }

    /// Bytes of entries that are gone and still being read.
    fn gone(&self) -> u64 {
        let there = self.entries.weight().saturating_sub(self.entries.len() as u64 * OVERHEAD);
        self.alive.load(Ordering::Relaxed).saturating_sub(there)
    }

    fn sweep(&self) {
        let now = Instant::now();
        let mut swept = self.swept.lock();
        if now < swept.get_or_insert(now).to_owned() + SWEEP_EVERY {
            return;
        }
        *swept = Some(now);
        drop(swept);
        self.entries.retain(|_, kept| kept.until.is_none_or(|until| now < until));
    }
}

/// A body that is counted as long as anybody has it.
struct Alive {
    body: Bytes,
    alive: Arc<AtomicU64>,
}

impl Alive {
    fn count(body: Bytes, alive: &Arc<AtomicU64>) -> Bytes {
        alive.fetch_add(body.len() as u64, Ordering::Relaxed);
        Bytes::from_owner(Self { body, alive: Arc::clone(alive) })
    }
}

impl AsRef<[u8]> for Alive {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.alive.fetch_sub(self.body.len() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: usize, until: Option<Instant>) -> Kept {
        Kept {
            content_type: HeaderValue::from_static("application/json"),
            body: Bytes::from(vec![b'x'; bytes]),
            since: Instant::now(),
            until,
            usage: None,
        }
    }

    fn store(bytes: u64) -> Store {
        let store = Store::default();
        store.resize(bytes, bytes / 6);
        store
    }

    #[tokio::test]
    async fn it_never_holds_more_bytes_than_it_may() {
        let store = store(100_000);
        for number in 0..=u8::MAX {
            store.put(Key::numbered(number), kept(5_000, None));
            assert!(store.size().1 <= 100_000, "{:?}", store.size());
        }
        assert!(store.size().0 >= 10, "{:?}", store.size());
        store.resize(20_000, 2_000);
        assert!(store.size().1 <= 20_000, "{:?}", store.size());
        store.resize(0, 0);
        assert_eq!(store.size(), (0, 0));
        store.put(Key::numbered(1), kept(1, None));
        assert_eq!(store.size(), (0, 0), "0 bytes: nothing is kept");
    }

    #[tokio::test]
    async fn a_giant_is_refused_and_takes_its_predecessor_with_it() {
        let store = store(100_000);
        store.put(Key::numbered(1), kept(10, None));
        store.put(Key::numbered(2), kept(10, None));
        store.put(Key::numbered(1), kept(50_000, None));
        assert!(store.get(&Key::numbered(1)).is_none());
        assert!(store.get(&Key::numbered(2)).is_some());
    }

    #[tokio::test]
    async fn while_slow_clients_read_much_that_has_gone_nothing_new_is_kept() {
        let store = store(100_000);
        let mut reading = Vec::new();
        for number in 0..=u8::MAX {
            store.put(Key::numbered(number), kept(5_000, None));
            reading
                .extend(store.get(&Key::numbered(number)).map(|kept| kept.response().into_body().slice(1..)));
            assert!(store.size().1 <= 135_000, "{:?}", store.size());
        }
        assert!(reading.len() < 30, "{} were kept", reading.len());
        reading.clear();
        assert!(store.size().1 <= 100_000, "{:?}", store.size());
        store.put(Key::numbered(9), kept(5_000, None));
        assert!(store.get(&Key::numbered(9)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_past_its_time_is_swept_out_and_what_has_none_stays() {
        let store = store(100_000);
        let soon = Instant::now() + Duration::from_secs(5);
        store.put(Key::numbered(1), kept(10, Some(soon)));
        store.put(Key::numbered(2), kept(10, None));
        tokio::time::advance(SWEEP_EVERY).await;
        store.put(Key::numbered(3), kept(10, None));
        assert_eq!(store.size().0, 2);
        assert!(store.get(&Key::numbered(1)).is_none());
    }
}
