//! The keys of one account: used in turn, one that was refused left out for a while.

use http::HeaderValue;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a refused key is left out, while others are not refused: a new value of its Secret comes at once, as it
/// makes these keys anew.
const RETIRED: Duration = Duration::from_mins(5);

/// The keys of one account.
pub struct Keys {
    keys: Vec<Key>,
    next: AtomicUsize,
}

struct Key {
    /// A whole header value, marked as sensitive.
    value: HeaderValue,
    retired_until: Mutex<Option<Instant>>,
}

impl Keys {
    /// Keys that are all in use.
    #[must_use]
    pub fn new(values: Vec<HeaderValue>) -> Self {
        let keys = values.into_iter().map(|value| Key { value, retired_until: Mutex::default() }).collect();
        Self { keys, next: AtomicUsize::new(0) }
    }

    /// The next key in turn, with its place. When every key was refused they are tried all the same.
    pub fn next(&self) -> (usize, Option<&HeaderValue>) {
        let count = self.keys.len();
        if count < 2 {
            return (0, self.keys.first().map(|key| &key.value));
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let at = (first..first + count).map(|n| n % count).find(|at| self.keys[*at].usable());
        let at = at.unwrap_or(first % count);
        (at, Some(&self.keys[at].value))
    }

    /// The provider refused a key. Returns whether another one can be tried.
    pub fn refused(&self, at: usize) -> bool {
        if let Some(key) = self.keys.get(at) {
            *key.retired_until.lock() = Some(Instant::now() + RETIRED);
        }
        self.keys.iter().any(Key::usable)
    }
}

impl Key {
    fn usable(&self) -> bool {
        self.retired_until.lock().is_none_or(|until| until <= Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_take_turns_and_a_refused_one_is_left_out() {
        let keys = Keys::new(["a", "b", "c"].map(HeaderValue::from_static).to_vec());
        let turn = || keys.next().1.and_then(|v| v.to_str().ok()).map(str::to_owned);
        assert_eq!([turn(), turn(), turn()], ["a", "b", "c"].map(|k| Some(k.to_owned())));
        assert!(keys.refused(1));
        assert!((0..6).all(|_| turn().as_deref() != Some("b")));
        assert!(keys.refused(0));
        assert!(!keys.refused(2), "none is left");
        assert!(turn().is_some(), "they are tried all the same");
    }

    #[test]
    fn an_account_without_keys_sends_none() {
        assert_eq!(Keys::new(Vec::new()).next(), (0, None));
    }
}
