//! The keys of one account: used in turn, one that was refused left out for a while.
//!
//! They survive a reload: a key whose value is the same stays refused, a new value comes in at once.

use arc_swap::ArcSwap;
use http::HeaderValue;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long a refused key is left out, while others are not refused.
const RETIRED: Duration = Duration::from_mins(5);

/// The keys of one account.
#[derive(Default)]
pub struct Keys {
    keys: ArcSwap<Vec<Arc<Key>>>,
    turn: AtomicUsize,
}

/// One key.
pub struct Key {
    /// A whole header value, marked as sensitive.
    value: HeaderValue,
    retired_until: Mutex<Option<Instant>>,
}

impl Keys {
    /// Takes new values. Returns whether any of them was not there before.
    pub fn configure(&self, values: Vec<HeaderValue>) -> bool {
        let old = self.keys.load_full();
        let mut new = false;
        let keys = values.into_iter().map(|value| {
            let known = old.iter().find(|key| key.value == value).map(Arc::clone);
            known.unwrap_or_else(|| {
                new = true;
                Arc::new(Key { value, retired_until: Mutex::default() })
            })
        });
        self.keys.store(Arc::new(keys.collect()));
        new
    }

    /// The next key in turn; `None` for an account without keys. When every key was refused they are tried all the same.
    pub fn next(&self) -> Option<Arc<Key>> {
        let keys = self.keys.load();
        let count = keys.len();
        if count < 2 {
            return keys.first().cloned();
        }
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % count;
        let at = (first..first + count).map(|n| n % count).find(|at| keys[*at].usable());
        Some(Arc::clone(&keys[at.unwrap_or(first)]))
    }

    /// A key that is in use, without taking a turn.
    pub fn any(&self) -> Option<Arc<Key>> {
        let keys = self.keys.load();
        keys.iter().find(|key| key.usable()).or_else(|| keys.first()).cloned()
    }

    /// Whether a key is left that was not refused.
    pub fn any_usable(&self) -> bool {
        self.keys.load().iter().any(|key| key.usable())
    }

    /// How many are refused at the moment.
    pub fn refused(&self) -> usize {
        self.keys.load().iter().filter(|key| !key.usable()).count()
    }
}

impl Key {
    /// The header value to send.
    pub fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// The provider refused it. Returns whether that is new.
    pub fn retire(&self) -> bool {
        let now = Instant::now();
        self.retired_until.lock().replace(now + RETIRED).is_none_or(|until| until <= now)
    }

    fn usable(&self) -> bool {
        self.retired_until.lock().is_none_or(|until| until <= Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(values: &[&'static str]) -> Vec<HeaderValue> {
        values.iter().copied().map(HeaderValue::from_static).collect()
    }

    fn turn(keys: &Keys) -> String {
        keys.next().map(|key| key.value().to_str().unwrap_or_default().to_owned()).unwrap_or_default()
    }

    fn retire(keys: &Keys, value: &str) {
        let held = keys.keys.load();
        held.iter().find(|key| *key.value() == value).expect("a key").retire();
    }

    #[tokio::test(start_paused = true)]
    async fn keys_take_turns_and_a_refused_one_is_left_out_for_a_while() {
        let pool = Keys::default();
        assert!(pool.configure(keys(&["a", "b", "c"])));
        assert_eq!([turn(&pool), turn(&pool), turn(&pool)], ["a", "b", "c"]);
        retire(&pool, "b");
        assert!(pool.any_usable());
        assert!((0..6).all(|_| turn(&pool) != "b"));
        retire(&pool, "a");
        retire(&pool, "c");
        assert!(!pool.any_usable(), "none is left");
        assert_eq!(pool.refused(), 3);
        assert!(!turn(&pool).is_empty(), "they are tried all the same");
        tokio::time::advance(RETIRED).await;
        assert_eq!(pool.refused(), 0);
    }

    #[test]
    fn a_reload_keeps_what_is_known_of_a_key_and_a_new_value_comes_in_at_once() {
        let pool = Keys::default();
        pool.configure(keys(&["a", "b"]));
        retire(&pool, "a");
        assert!(!pool.configure(keys(&["b", "a"])));
        assert!((0..4).all(|_| turn(&pool) == "b"));
        assert!(pool.configure(keys(&["b", "a2"])));
        assert!((0..4).any(|_| turn(&pool) == "a2"));
        assert_eq!(pool.refused(), 0);
    }

    #[test]
    fn a_refusal_that_comes_after_a_rotation_hits_nobody() {
        let pool = Keys::default();
        pool.configure(keys(&["a"]));
        let sent = pool.next().expect("a key");
        pool.configure(keys(&["a2"]));
        assert!(sent.retire());
        assert!(pool.any_usable());
    }

    #[test]
    fn an_account_without_keys_sends_none() {
        assert!(Keys::default().next().is_none());
    }
}
